//go:build !race

package index

import (
	"fmt"
	"testing"
)

// A batch over 16 MiB comes in parts, and counts only whole.
func TestBatchInParts(t *testing.T) {
	m, dir := memRoot(t)
	o := testOptions(m, dir)
	ix, _ := mustOpen(t, o)
	mustApply(t, ix, &Batch{Adds: adds(0, 1)})
	mustWait(t, ix)
	before := ix.end
	many := make([]Add, 80000)
	for i := range many {
		many[i] = Add{Base: fmt.Sprintf("%0230d", i), Size: UnknownSize}
	}
	a := mustApply(t, ix, &Batch{Adds: many})
	if a.Pos < 3 || ix.end-before < maxPayload {
		t.Fatalf("%d octets, position %d", ix.end-before, a.Pos)
	}
	after := mustApply(t, ix, &Batch{Flags: []FlagChange{{Row: 80000, Flags: Seen}}})
	mustWait(t, ix)
	mustCheck(t, ix)
	end := ix.end
	abandon(ix)
	ix, rec := mustOpen(t, o)
	if ix.Len() != 80001 || ix.Base(80000) != many[79999].Base || ix.Flags(80000) != Seen || rec.Jumped != "" || ix.Pos() != after.Pos {
		t.Fatalf("%d messages, %+v", ix.Len(), rec)
	}
	abandon(ix)

	// Without its commit the whole batch never was.
	b := journalBytes(t, dir)
	first := before + frameSize(maxPayload)
	clear(b[first:end])
	setJournal(t, dir, b)
	ix, rec = mustOpen(t, o)
	if ix.Len() != 1 || len(rec.Damaged) > 0 {
		t.Fatalf("%d messages, %+v", ix.Len(), rec)
	}
	// And its first part does not count for a later one.
	mustApply(t, ix, &Batch{Adds: many[:70000]})
	mustWait(t, ix)
	mustCheck(t, ix)
	if ix.Len() != 70001 {
		t.Fatalf("%d messages", ix.Len())
	}
}
