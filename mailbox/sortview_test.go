package mailbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"roost/message"
)

// sorting has messages whose subjects are the words, in cur/.
func sorting(t *testing.T, words ...string) *fixture {
	t.Helper()
	f := testFixture(t)
	for i, word := range words {
		f.deliverSubject(i+1, word)
	}
	f.open()
	return f
}

func (f *fixture) deliverSubject(n int, word string) {
	f.t.Helper()
	name := fmt.Sprintf("%d.a", n)
	body := fmt.Sprintf("Subject: %s\nDate: %d Jan 2024 12:00:00 +0000\nMessage-ID: <%d@x>\nReferences: <%d@x>\nX-Other: %s\n\nhello\n", word, n, n, n-1, word)
	if err := os.Rename(f.write(name, body), filepath.Join(f.path, "cur", name+":2,")); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) wantSorted(v *View, key SortKey, want ...SeqNum) {
	f.t.Helper()
	got, err := v.Sort(context.Background(), Seqs{{1, SeqNum(v.Len())}}, []SortCriterion{{Key: key}}, SearchOptions{})
	if err != nil {
		f.t.Fatal(err)
	}
	if !slices.Equal(got, want) {
		f.t.Errorf("sorted %v, want %v", got, want)
	}
}

// recordKind is the version of the cache record of message n, 0 if there is none.
func recordKind(v *View, n SeqNum) byte {
	e, ok := v.ix.Cache().Get(v.row(n), nil)
	if !ok || len(e.Payload) == 0 {
		return 0
	}
	return e.Payload[0]
}

// The first SORT reads headers only, and leaves what it found in the cache:
// for the next start, and until the message is parsed.
func TestSortFromBriefRecords(t *testing.T) {
	f := sorting(t, "cherry", "Apple", "banana")
	v := f.view(true)
	f.wantSorted(v, SortSubject, 2, 3, 1)
	f.wantSorted(v, SortDate, 1, 2, 3)
	for n := SeqNum(1); n <= 3; n++ {
		if got := recordKind(v, n); got != briefVersion {
			t.Errorf("message %d has a record of kind %d", n, got)
		}
	}
	v.Close()
	f.reopen()
	v = f.view(true)
	f.wantSorted(v, SortSubject, 2, 3, 1)
	c := v.Content(1)
	env, err := c.Envelope()
	if err != nil || len(env) == 0 {
		t.Errorf("envelope %q, %v", env, err)
	}
	c.Close()
	if got := recordKind(v, 1); got == briefVersion || got == 0 {
		t.Errorf("a parsed message has a record of kind %d", got)
	}
	id, err := func() (string, error) { c := v.Content(3); defer c.Close(); return c.ThreadID() }()
	if err != nil || id != threadIDOf("2@x") {
		t.Errorf("thread id %q, %v", id, err)
	}
	v.Close()
	f.reopen()
	v = f.view(true)
	defer v.Close()
	f.wantSorted(v, SortSubject, 2, 3, 1)
}

// New messages get into the columns, removed ones out of the answers; other
// comparators have columns of their own.
func TestSortFollowsChanges(t *testing.T) {
	f := sorting(t, "b", "A", "c")
	v := f.view(false)
	defer v.Close()
	f.wantSorted(v, SortSubject, 2, 1, 3)
	f.deliverSubject(4, "aa")
	f.eventually("the delivery", func() bool { f.noop(v); return v.Len() == 4 })
	f.wantSorted(v, SortSubject, 2, 4, 1, 3)
	octet, err := v.Sort(context.Background(), Seqs{{1, 4}}, []SortCriterion{{Key: SortSubject}}, SearchOptions{Comparator: message.Octet, Descending: true})
	if err != nil || !slices.Equal(octet, []SeqNum{3, 1, 4, 2}) {
		t.Errorf("descending by octets: %v, %v", octet, err)
	}
	tokens, err := v.Thread(context.Background(), ThreadReferences, Seqs{{1, 4}}, SearchOptions{})
	if err != nil || render(tokens) != "(1 2 3 4)" {
		t.Errorf("thread %s, %v", render(tokens), err)
	}
	f.unlink("cur/2.a:2,")
	f.eventually("the removal", func() bool { f.noop(v); return v.Len() == 3 })
	f.wantSorted(v, SortSubject, 3, 1, 2)
	tokens, err = v.Thread(context.Background(), ThreadReferences, Seqs{{1, 3}}, SearchOptions{})
	if err != nil || render(tokens) != "(1 2 3)" && render(tokens) != "(1)(2 3)" {
		t.Errorf("thread %s, %v", render(tokens), err)
	}
}

func TestSortStopsWithItsContext(t *testing.T) {
	f := sorting(t, "b", "a")
	v := f.view(true)
	defer v.Close()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for _, key := range []SortKey{SortSubject, SortDate, SortSize} {
		if _, err := v.Sort(ctx, Seqs{{1, 2}}, []SortCriterion{{Key: key}}, SearchOptions{}); !errors.Is(err, context.Canceled) {
			t.Errorf("key %d: %v", key, err)
		}
	}
	if _, err := v.Thread(ctx, ThreadRefs, Seqs{{1, 2}}, SearchOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("thread: %v", err)
	}
	f.wantSorted(v, SortSubject, 2, 1)
}
