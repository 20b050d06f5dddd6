package mailbox

import (
	"cmp"
	"slices"

	"roost/index"
)

// This file merges flags three ways: what we decided (the index), what the name
// of the file said when we last agreed, and what it says now (design §2, R22 to
// R24). An outside change is the difference of the last two, applied on top.

// forwarded is the keyword that the letter P stands for.
const forwarded = "$Forwarded"

// flagLetters are the system flags by letter.
var flagLetters = [...]struct {
	letter index.Letters
	flag   index.Flags
}{
	{index.Letter('D'), index.Draft},
	{index.Letter('F'), index.Flagged},
	{index.Letter('R'), index.Answered},
	{index.Letter('S'), index.Seen},
	{index.Letter('T'), index.Deleted},
}

const (
	keywordLetters = index.Letters(1<<26 - 1)
	passedLetter   = index.Letters(1 << 28) // P
)

// flagsOf are the system flags that letters stand for.
func flagsOf(l index.Letters) (f index.Flags) {
	for _, x := range flagLetters {
		if l&x.letter != 0 {
			f |= x.flag
		}
	}
	return f
}

// lettersOf are the letters of system flags.
func lettersOf(f index.Flags) (l index.Letters) {
	for _, x := range flagLetters {
		if f&x.flag != 0 {
			l |= x.letter
		}
	}
	return l
}

// wantLettersLocked are the letters that the name of a message should have: of
// its flags and keywords, and those of slots that are nobody's, as they are.
// mb.mu must be held.
func (mb *Mailbox) wantLettersLocked(f index.Flags, k index.KeywordSet, now index.Letters) index.Letters {
	l := lettersOf(f) | now&keywordLetters&^mb.words.taken
	if k != 0 {
		l |= mb.words.lettersLocked(mb.ix, k)
	}
	return l
}

// wantNameLocked is the name that the file of row should have, and whether it
// is another one than it has. mb.mu must be held.
func (mb *Mailbox) wantNameLocked(row index.Row, f index.Flags, k index.KeywordSet) (want index.Name, differs bool) {
	now := mb.ix.Name(row)
	letters := mb.wantLettersLocked(f, k, now.Letters)
	if letters == now.Letters {
		return now, false
	}
	want, ok := mb.renamed(mb.ix.Base(row), now, letters)
	return want, ok && want != now
}

// A merge collects what outside renames mean. It is used under mb.mu.
type merge struct {
	mb      *Mailbox
	b       *index.Batch
	changes []change
	rows    []index.Row // whose name must be put right
	known   map[index.Row]struct{}
	bases   []nameChange
	added   map[mergeKey]index.KeywordSet
}

type mergeKey struct {
	set index.KeywordSet
	add index.Letters
	sub bool // P is taken away
}

// newMergeLocked makes a merge that adds to b. mb.mu must be held.
func (mb *Mailbox) newMergeLocked(b *index.Batch) *merge {
	return &merge{mb: mb, b: b, added: map[mergeKey]index.KeywordSet{}, known: map[index.Row]struct{}{}}
}

// ofLetters is what a name without history says.
func (m *merge) ofLetters(l index.Letters) (index.Flags, index.KeywordSet) {
	return flagsOf(l), m.withLetters(0, l, 0)
}

// withLetters is set with the keywords of added, and without $Forwarded if
// removed has P. A keyword letter that is gone takes nothing away: mu and mutt
// drop them (K1).
func (m *merge) withLetters(set index.KeywordSet, added, removed index.Letters) index.KeywordSet {
	added &= m.mb.words.taken | passedLetter
	sub := removed&passedLetter != 0
	if added == 0 && !sub {
		return set
	}
	key := mergeKey{set, added, sub}
	if k, ok := m.added[key]; ok {
		return k
	}
	names := slices.Clone(m.mb.ix.KeywordNames(set))
	if sub {
		names = slices.DeleteFunc(names, func(n string) bool { return equalKeyword(n, forwarded) })
	}
	names = m.mb.words.appendNames(names, added)
	k, err := m.mb.ix.SetOf(names)
	if err != nil {
		m.mb.log.Warn("keywords of a file name are not taken", "err", err)
		k = set
	}
	m.added[key] = k
	return k
}

// outside merges a name that another program gave to the file of c.row.
func (m *merge) outside(c *nameChange) {
	mb := m.mb
	if !mb.live.Has(c.row) || mb.ix.Name(c.row) != c.old || mb.renamedLocked(c.row) {
		m.lookAgain(c) // moved on since we looked
		return
	}
	if _, twice := m.known[c.row]; twice {
		mb.files.wantScan = true // two names of one message: one step at a time
		return
	}
	m.known[c.row] = struct{}{}
	f, k := mb.ix.Flags(c.row), mb.ix.Keywords(c.row)
	m.b.Agreed = append(m.b.Agreed, index.Agreed{Row: c.row, Name: c.name, Base: c.base})
	if c.base != "" {
		m.bases = append(m.bases, nameChange{row: c.row, base: mb.ix.Base(c.row)})
		mb.foreign.rebased.Store(true)
	}
	m.rows = append(m.rows, c.row)
	if mb.files.recovering && slices.Contains(mb.ix.Ours(c.row), c.name) {
		return // a rename of ours that a crash undid, or that we did not hear of
	}
	added := c.name.Letters &^ c.old.Letters
	removed := c.old.Letters &^ c.name.Letters
	f2 := (f | flagsOf(added)) &^ flagsOf(removed)
	k2 := m.withLetters(k, added, removed)
	if f2 != f || k2 != k {
		m.b.Flags = append(m.b.Flags, index.FlagChange{Row: c.row, Flags: f2, Keywords: k2})
		m.changes = append(m.changes, change{row: c.row, flags: f ^ f2, words: k != k2})
	}
}

// lookAgain puts off what c tells. A file that has another base is the message
// only as long as the message's own name is known to be gone (R13), so that is
// put off with it: else the file would be a new message.
func (m *merge) lookAgain(c *nameChange) {
	mb := m.mb
	was := mb.ix.Base(c.row)
	if c.base != "" {
		mb.deferHintLocked(hint{place: placeOf(c.old), name: mb.fileName(was, c.old), gone: true})
	}
	mb.deferHintLocked(hint{place: placeOf(c.name), name: mb.fileName(cmp.Or(c.base, was), c.name)})
	mb.wake()
}

// done logs the changes once b was applied, and finds the names that must be
// put right.
func (m *merge) done(a index.Applied, by *View) {
	mb := m.mb
	for i := range m.changes {
		m.changes[i].modSeq, m.changes[i].by = a.ModSeq, by
		mb.changes.add(m.changes[i])
	}
	mb.count.FlagDeltas.Add(uint64(len(m.changes)))
	for _, c := range m.bases {
		if mb.bases != nil {
			mb.bases.remove(c.row, c.base)
			mb.bases.add(mb.ix, c.row)
		}
	}
	for _, row := range m.rows {
		if mb.ix.Name(row).Where&index.InNew != 0 {
			mb.work.inNew[row] = struct{}{}
		} else {
			delete(mb.work.inNew, row)
		}
		if _, differs := mb.wantNameLocked(row, mb.ix.Flags(row), mb.ix.Keywords(row)); differs {
			mb.work.behind[row] = struct{}{}
		} else {
			delete(mb.work.behind, row)
		}
	}
	if len(mb.work.behind) > 0 {
		mb.wake()
	}
}

// trustNames takes the flags from the names of the files where the index lost
// records: it may have what was agreed with a name and not what that was about,
// and then nothing would look different from outside. Keywords are only added.
// A name that we are about to change is left alone.
func (mb *Mailbox) trustNames() error {
	mb.mu.Lock()
	defer mb.mu.Unlock()
	if mb.writableLocked() != nil {
		return nil // names do not follow there
	}
	var b index.Batch
	m := mb.newMergeLocked(&b)
	mb.live.each(0, index.Row(mb.ix.Len()), func(row index.Row) bool {
		f, k := mb.ix.Flags(row), mb.ix.Keywords(row)
		if _, differs := mb.wantNameLocked(row, f, k); !differs || len(mb.ix.Ours(row)) > 0 {
			return true
		}
		letters := mb.ix.Name(row).Letters
		f2, k2 := flagsOf(letters), m.withLetters(k, letters, ^letters)
		if f2 != f || k2 != k {
			b.Flags = append(b.Flags, index.FlagChange{Row: row, Flags: f2, Keywords: k2})
			m.changes = append(m.changes, change{row: row, flags: f ^ f2, words: k != k2})
		}
		return true
	})
	if len(b.Flags) == 0 {
		return nil
	}
	a, err := mb.applyLocked(&b)
	if err != nil {
		return err
	}
	m.done(a, nil)
	mb.version.Add(1)
	mb.log.Warn("records of flags are lost; the names of the files count", "messages", len(b.Flags))
	return nil
}
