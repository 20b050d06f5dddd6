package mailbox

import "github.com/emersion/go-imap/v2"

// Intersect gives what is in both sets.
func (s Seqs) Intersect(t Seqs) Seqs {
	var out Seqs
	for i, j := 0, 0; i < len(s) && j < len(t); {
		first, last := max(s[i].First, t[j].First), min(s[i].Last, t[j].Last)
		if first <= last {
			out = append(out, SeqRange{first, last})
		}
		if s[i].Last < t[j].Last {
			i++
		} else {
			j++
		}
	}
	return out
}

// NumbersWithin is Numbers as SEARCH takes a set: numbers beyond the mailbox
// are left out.
func (v *View) NumbersWithin(set imap.SeqSet) Seqs {
	return Seqs(clampSeqs(set, SeqNum(v.Len()))).normal()
}
