package session

import (
	"os"
	"regexp"
	"slices"
	"testing"
)

// docs/compliance.md lists what is offered: run `make rfc` after a change.
func TestComplianceListsTheCapabilities(t *testing.T) {
	text, err := os.ReadFile("../docs/compliance.md")
	if err != nil {
		t.Fatal(err)
	}
	var listed []string
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllStringSubmatch(string(text), -1) {
		if len(m[1]) < 5 || m[1][:5] != "AUTH=" {
			listed = append(listed, m[1])
		}
	}
	var offered []string
	for i := range capabilityList {
		name := capabilityList[i].name
		if capabilityList[i].value != nil {
			name += "="
		}
		offered = append(offered, name)
	}
	if !slices.Equal(listed, offered) {
		t.Errorf("docs/compliance.md lists\n%v\nthe code offers\n%v\nRun make rfc.", listed, offered)
	}
}
