package session

import (
	"fmt"
	"strings"
	"testing"

	"roost/mailbox"
)

// expandText expands `FILTER a` with filters by name.
func expandText(all map[string]string) (*mailbox.Criteria, error) {
	node := &mailbox.Criteria{Kind: mailbox.SearchNone}
	e := filterExpansion{lookUp: func(name string) ([]byte, error) {
		if v, ok := all[strings.ToLower(name)]; ok {
			return []byte(v), nil
		}
		return nil, nil
	}}
	err := e.expand([]filterUse{{node, "a"}})
	return node, err
}

func TestFilterExpansion(t *testing.T) {
	deep := map[string]string{}
	for i := range 20 {
		deep[string(rune('a'+i))] = "FILTER " + string(rune('a'+i+1))
	}
	wide := map[string]string{"a": strings.Repeat("FILTER b ", 40) + "ALL", "b": strings.Repeat("FILTER c ", 40) + "ALL", "c": "SEEN"}
	for _, tt := range []struct {
		all  map[string]string
		want string // the tree, or the code
	}{
		{map[string]string{"a": "SEEN"}, `\seen`},
		{map[string]string{"a": "OR FILTER b FILTER B", "b": "FILTER c", "c": "FILTER d 2", "d": "SEEN"}, `(or (and \seen 2) (and \seen 2))`},
		{map[string]string{"a": "FILTER b"}, "UNDEFINED-FILTER b"},
		{map[string]string{"a": "FILTER A"}, "UNDEFINED-FILTER A"},
		{map[string]string{"a": "SUBJECT"}, "UNDEFINED-FILTER a"},
		{map[string]string{"a": ""}, "UNDEFINED-FILTER a"},
		{map[string]string{"a": "ALL\r\nx SEARCH ALL"}, "UNDEFINED-FILTER a"},
		{map[string]string{"a": "SUBJECT {3}\r\nx\ny"}, "SUBJECT:\"x\\ny\""},
		{map[string]string{"a": "SUBJECT {30}\r\nxy"}, "UNDEFINED-FILTER a"},
		{map[string]string{"a": "TEXT \"\xff\""}, "UNDEFINED-FILTER a"},
		{deep, "UNDEFINED-FILTER i"},
		{wide, "LIMIT"},
	} {
		node, err := expandText(tt.all)
		got := describe(node)
		if err != nil {
			r, _ := status(err)
			got = r.code
		}
		if got != tt.want {
			t.Errorf("%.60q: %q, want %q", fmt.Sprint(tt.all), got, tt.want)
		}
	}
}
