package index

import (
	"slices"
	"strings"
	"sync/atomic"
)

// Limits of keywords.
const (
	MaxKeywords = 200 // names a mailbox
	MaxKeyword  = 50  // octets of a name

	maxSets     = 1 << 16 // distinct sets
	maxSetNames = 1 << 20 // names in all sets together
)

// keywords interns names and sets of names. One writer; names and sets may be
// read by any goroutine.
type keywords struct {
	names  atomic.Pointer[[]string]   // by id; "" where a definition was lost
	sets   atomic.Pointer[[][]string] // by KeywordSet, each sorted without regard to case
	byName map[string]uint8           // lower case -> id
	byIDs  map[string]KeywordSet      // ascending ids, an octet each
	ids    []string                   // the key in byIDs, by KeywordSet
	total  int                        // names in all sets
}

func newKeywords() *keywords {
	k := &keywords{byName: map[string]uint8{}, byIDs: map[string]KeywordSet{"": 0}, ids: []string{""}}
	k.names.Store(new([]string))
	k.sets.Store(&[][]string{nil})
	return k
}

// validKeyword reports whether name is a flag-keyword that we keep:
//
//	flag-keyword = "$MDNSent" / "$Forwarded" / "$Junk" / "$NotJunk" / "$Phishing" / atom
//
// RFC 9051 §9.
func validKeyword(name string) bool {
	if name == "" || len(name) > MaxKeyword {
		return false
	}
	for i := range len(name) {
		if c := name[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(`(){%*"\]`, c) >= 0 {
			return false
		}
	}
	return true
}

// setOf interns the set of names; spelling that differs only in case is the
// keyword as it was first spelt.
func (k *keywords) setOf(names []string) (KeywordSet, error) {
	if len(names) == 0 {
		return 0, nil
	}
	fresh := 0
	for _, name := range names {
		if !validKeyword(name) {
			return 0, ErrKeyword
		}
		if _, ok := k.byName[strings.ToLower(name)]; !ok {
			fresh++
		}
	}
	if len(*k.names.Load())+fresh > MaxKeywords {
		return 0, ErrKeywords
	}
	var buf [MaxKeywords]uint8
	ids := buf[:0]
	for _, name := range names {
		id, ok := k.byName[strings.ToLower(name)]
		if !ok {
			id = uint8(len(*k.names.Load()))
			k.defineName(id, name)
		}
		ids = append(ids, id)
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	if set, ok := k.byIDs[string(ids)]; ok {
		return set, nil
	}
	if len(k.ids) >= maxSets || k.total+len(ids) > maxSetNames {
		return 0, ErrKeywords
	}
	set := KeywordSet(len(k.ids))
	k.defineSet(set, string(ids))
	return set, nil
}

// defineName gives name the id, which may be beyond the last: then the
// definitions between were lost. A second definition is ignored.
func (k *keywords) defineName(id uint8, name string) {
	old := *k.names.Load()
	if int(id) >= MaxKeywords || int(id) < len(old) && old[id] != "" {
		return
	}
	if _, ok := k.byName[strings.ToLower(name)]; ok {
		return
	}
	names := slices.Grow(slices.Clone(old), 1)
	for len(names) <= int(id) {
		names = append(names, "")
	}
	names[id] = name
	k.byName[strings.ToLower(name)] = id
	k.names.Store(&names)
}

// defineSet gives the set of ids (ascending) its number, as defineName does.
func (k *keywords) defineSet(set KeywordSet, ids string) {
	if set == 0 || set >= maxSets || int(set) < len(k.ids) && k.ids[set] != "" || k.total+len(ids) > maxSetNames {
		return
	}
	all := *k.names.Load()
	names := make([]string, 0, len(ids))
	for i := range len(ids) {
		if int(ids[i]) < len(all) && all[ids[i]] != "" {
			names = append(names, all[ids[i]])
		}
	}
	slices.SortFunc(names, func(a, b string) int { return strings.Compare(strings.ToLower(a), strings.ToLower(b)) })
	sets := *k.sets.Load()
	if int(set) < len(sets) {
		sets = slices.Clone(sets) // a hole that readers can see is filled
	}
	for len(sets) <= int(set) {
		sets = append(sets, nil)
		k.ids = append(k.ids, "")
	}
	sets[set] = names
	k.ids[set] = ids
	k.total += len(ids)
	if _, ok := k.byIDs[ids]; !ok {
		k.byIDs[ids] = set
	}
	k.sets.Store(&sets)
}

// within reports whether every name of set a is in set b.
func (k *keywords) within(a, b KeywordSet) bool {
	if a == b || a == 0 {
		return true
	}
	for i := range len(k.ids[a]) {
		if strings.IndexByte(k.ids[b], k.ids[a][i]) < 0 {
			return false
		}
	}
	return true
}

// SetOf interns a set of keywords; order and duplicates do not matter, and a
// keyword keeps the spelling in which the mailbox saw it first. The error is
// ErrKeyword or ErrKeywords. Writer only.
func (ix *Index) SetOf(names []string) (KeywordSet, error) {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	return ix.words.setOf(names)
}

// KeywordNames gives the names of a set, sorted without regard to case. They
// are shared: do not change them.
func (ix *Index) KeywordNames(k KeywordSet) []string {
	if sets := *ix.words.sets.Load(); int(k) < len(sets) {
		return sets[k]
	}
	return nil
}

// AllKeywords gives every name that the mailbox knows, in the order of first
// use. They are shared: do not change them.
func (ix *Index) AllKeywords() []string {
	names := *ix.words.names.Load()
	if !slices.Contains(names, "") {
		return names
	}
	return slices.DeleteFunc(slices.Clone(names), func(s string) bool { return s == "" })
}

// KeywordsFull reports whether no new keyword fits.
func (ix *Index) KeywordsFull() bool { return len(*ix.words.names.Load()) >= MaxKeywords }
