package maildir

import "math/bits"

// Letters is a set of the letters in the info of a file name: D F P R S T for
// system flags and a to z for the slots 0 to 25 of dovecot-keywords. They are
// exactly 32, and the order of the bits is that of ASCII, in which a name lists
// them.
type Letters uint32

// The letters of system flags.
const (
	Draft   Letters = 1 << iota // D, \Draft
	Flagged                     // F, \Flagged
	Passed                      // P, $Forwarded
	Replied                     // R, \Answered
	Seen                        // S, \Seen
	Trashed                     // T, \Deleted

	// SystemLetters are the six above; the others are keywords.
	SystemLetters = Draft | Flagged | Passed | Replied | Seen | Trashed

	keywordShift = 6
)

// Slots is the number of keywords that letters can name.
const Slots = 26

// letterOf lists the octets by bit.
const letterOf = "DFPRSTabcdefghijklmnopqrstuvwxyz"

// bitOf is the letter set of each octet, 0 for others.
var bitOf = func() (t [256]Letters) {
	for i := range len(letterOf) {
		t[letterOf[i]] = 1 << i
	}
	return t
}()

// Keyword is the letter of a keyword slot, 0 to 25; the empty set for others.
func Keyword(slot int) Letters {
	if slot < 0 || slot >= Slots {
		return 0
	}
	return 1 << (keywordShift + slot)
}

// Has reports whether all of m are in l.
func (l Letters) Has(m Letters) bool { return l&m == m }

// Keywords are the slots in l, bit 0 for slot 0.
func (l Letters) Keywords() uint32 { return uint32(l >> keywordShift) }

// Append adds the letters in ASCII order.
func (l Letters) Append(b []byte) []byte {
	for ; l != 0; l &= l - 1 {
		b = append(b, letterOf[bits.TrailingZeros32(uint32(l))])
	}
	return b
}

func (l Letters) String() string { return string(l.Append(nil)) }
