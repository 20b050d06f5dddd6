package index

import (
	"fmt"
	"testing"

	"roost/disk/disktest"
)

// bulkOf gives all as a Bulk; they must have nothing that it cannot say.
func bulkOf(all []Add) *Bulk {
	k := &Bulk{Exact: map[int]string{}}
	for i, a := range all {
		if a.Name.Where&ExactInfo != 0 {
			k.Exact[i] = a.Name.Exact
		}
		k.Names = append(k.Names, a.Base...)
		k.Heads = append(k.Heads, BulkHead{
			Letters: a.Name.Letters, Keywords: a.Keywords, Flags: a.Flags, Where: a.Name.Where, Len: uint8(len(a.Base)),
		})
	}
	return k
}

// namesOnly are n messages of which only the names are known.
func namesOnly(from, n int) []Add {
	all := make([]Add, n)
	for i := range all {
		all[i] = Add{
			Base: fmt.Sprintf("%d.M%d.host", 1700000000+from+i, i), Size: UnknownSize, Flags: Flags(i) & AllFlags,
			Name: Name{Letters: Letters(i), Where: HasInfo},
		}
		if i%1000 == 7 {
			all[i].Name = Name{Where: HasInfo | ExactInfo, Exact: fmt.Sprint(":2,X", i)}
		}
	}
	return all
}

// A Bulk is what as many Adds are: in memory, in a journal that is new, in
// frames, and in segments that are full to any degree.
func TestBulkIsAdds(t *testing.T) {
	befores, counts := []int{0, 1, segmentRows - 1, segmentRows, segmentRows + 100}, []int{1, 100, segmentRows, 3*segmentRows + 17}
	if disktest.Stride > 1 {
		befores, counts = befores[2:3], counts[1:3]
	}
	for _, before := range befores {
		for _, n := range counts {
			for _, recorded := range []bool{false, true} {
				want, wo := bulkIndex(t, before, recorded, &Batch{Adds: namesOnly(before, n)})
				got, o := bulkIndex(t, before, recorded, &Batch{Bulk: bulkOf(namesOnly(before, n))})
				sameRows(t, want, got, before+n)
				for _, x := range []*Index{want, got} {
					mustApply(t, x, &Batch{Adds: namesOnly(before+n, 300)}) // behind a block that is not ours alone
					if err := x.Close(); err != nil {
						t.Fatal(err)
					}
				}
				want, _ = mustOpen(t, wo)
				got, _ = mustOpen(t, o)
				sameRows(t, want, got, before+n+300)
			}
		}
	}
}

func bulkIndex(t *testing.T, before int, recorded bool, b *Batch) (*Index, Options) {
	t.Helper()
	m, dir := memRoot(t)
	o := testOptions(m, dir)
	ix, _ := mustOpen(t, o)
	if before > 0 {
		mustApply(t, ix, &Batch{Adds: namesOnly(0, before)})
	}
	if recorded {
		if err := ix.Wait(ix.Pos()); err != nil {
			t.Fatal(err)
		}
	}
	mustApply(t, ix, b)
	if err := ix.Wait(ix.Pos()); err != nil {
		t.Fatal(err)
	}
	return ix, o
}

func sameRows(t *testing.T, want, got *Index, n int) {
	t.Helper()
	if want.Len() != n || got.Len() != n || want.UIDNext() != got.UIDNext() {
		t.Fatalf("%d and %d rows of %d, UIDNEXT %d and %d", want.Len(), got.Len(), n, want.UIDNext(), got.UIDNext())
	}
	for r := range Row(n) {
		if want.UID(r) != got.UID(r) || want.Base(r) != got.Base(r) || want.Name(r) != got.Name(r) || want.Flags(r) != got.Flags(r) ||
			want.Keywords(r) != got.Keywords(r) || want.Size(r) != got.Size(r) || want.Date(r) != got.Date(r) || !got.SaveDate(r).Equal(want.SaveDate(r)) {
			t.Fatalf("row %d: %q %v, want %q %v", r, got.Base(r), got.Name(r), want.Base(r), want.Name(r))
		}
	}
}

// What is not a base, or UIDs that are not left, refuse a Bulk as a whole.
func TestBulkRefused(t *testing.T) {
	m, dir := memRoot(t)
	ix, _ := mustOpen(t, testOptions(m, dir))
	for name, change := range map[string]func(k *Bulk){
		"a slash":              func(k *Bulk) { k.Names[len(k.Names)-1] = '/' },
		"an empty base":        func(k *Bulk) { k.Heads[3].Len = 0 },
		"too few names":        func(k *Bulk) { k.Names = k.Names[:len(k.Names)-1] },
		"a keyword set unseen": func(k *Bulk) { k.Heads[9].Keywords = 77 },
	} {
		k := bulkOf(namesOnly(0, 10))
		change(k)
		if _, err := ix.Apply(&Batch{Bulk: k}); err == nil || ix.Len() != 0 {
			t.Errorf("%s: error %v, %d rows", name, err, ix.Len())
		}
	}
}
