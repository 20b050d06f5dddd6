package maildir

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"roost/disk"
)

// TestListingKeeps: names of all lengths stay what they were, over many chunks,
// and when the listing is used again.
func TestListingKeeps(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	var l Listing
	for round := range 3 {
		l.reset(Colon)
		var want []string
		for i := range 80_000 {
			name := fmt.Sprintf("%d.", i)
			name += strings.Repeat("x", r.IntN(NameMax-len(name)-8))
			if i%2 == 0 {
				name += ":2,S"
			}
			want = append(want, name)
			if !l.add(disk.Entry{Name: []byte(name), Ino: uint64(i)}, Place(i%2)) {
				t.Fatal("full")
			}
		}
		if l.Len() != len(want) || len(l.names) < 4 {
			t.Fatalf("%d names in %d chunks", l.Len(), len(l.names))
		}
		list := []int32{}
		octets := 0
		for i, name := range want {
			got, p := l.File(i)
			n, q := l.At(i)
			if string(got) != name || n.String() != name || p != Place(i%2) || q != p || l.Inode(i) != InodePrint(uint64(i)) {
				t.Fatalf("round %d: name %d is %q, want %q", round, i, got, name)
			}
			list = append(list, int32(i))
			octets += len(n.Base)
		}
		if l.Octets(list) != octets {
			t.Errorf("%d octets, want %d", l.Octets(list), octets)
		}
		l.Fetch(list)
	}
}
