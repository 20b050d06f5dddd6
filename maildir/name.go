package maildir

import (
	"bytes"
	"slices"
)

// Sep is the octet before the info of a name: ':', or ';' or '!' on file
// systems that cannot have it.
type Sep byte

// The separators.
const (
	Colon       Sep = ':'
	Semicolon   Sep = ';'
	Exclamation Sep = '!'
)

// NameMax is the longest name of a file, in octets.
const NameMax = 255

// A Name is a parsed file name of new/ or cur/. Its slices are parts of what
// was parsed.
//
//	filename = base [ sep "2," flags [ "," rest ] ] / base [ sep "1," experimental ]
//	base     = unique *( "," field )
//
// The base ends at the first separator, the flags begin behind the last one,
// if "2," follows it.
type Name struct {
	Base    []byte  // identity
	Info    []byte  // all behind the base, with the separator; empty in a name without
	Letters Letters // the known ones of the flags
	// Exact is empty, or it is Info, if that cannot be made from Letters:
	// letters that are unknown, repeated or not in order, a rest, no "2,".
	Exact []byte
}

// ParseName reads a name. ErrName is returned for what is not a message by its
// name (rule N2): a dot file, an empty base, octets that break lines, over 255
// octets. It does not allocate.
func ParseName(name []byte, sep Sep) (Name, error) {
	if !validName(name, sep) {
		return Name{}, ErrName
	}
	first := bytes.IndexByte(name, byte(sep))
	if first < 0 {
		return Name{Base: name}, nil
	}
	n := Name{Base: name[:first], Info: name[first:]}
	flags, ok := flagsOf(n.Info, sep)
	if !ok {
		n.Exact = n.Info
		return n, nil
	}
	canonical := len(flags.before) == 0 && len(flags.rest) == 0
	var last Letters
	for _, c := range flags.letters {
		bit := bitOf[c]
		if bit <= last { // also unknown, which is 0
			canonical = false
		}
		n.Letters |= bit
		last = bit
	}
	if !canonical {
		n.Exact = n.Info
	}
	return n, nil
}

func validName(name []byte, sep Sep) bool {
	if len(name) == 0 || len(name) > NameMax || name[0] == '.' || name[0] == byte(sep) {
		return false
	}
	// Four searches are faster than one loop: this is the path of a scan.
	return bytes.IndexByte(name, '\n') < 0 && bytes.IndexByte(name, '\r') < 0 &&
		bytes.IndexByte(name, 0) < 0 && bytes.IndexByte(name, '/') < 0
}

// info is an info with flags, cut: before sep "2," letters rest, where rest
// begins with its comma.
type info struct {
	before, letters, rest []byte
}

// flagsOf cuts an info; false if it holds no flags.
func flagsOf(text []byte, sep Sep) (info, bool) {
	last := bytes.LastIndexByte(text, byte(sep))
	if last < 0 || !bytes.HasPrefix(text[last+1:], []byte("2,")) {
		return info{}, false
	}
	in := info{before: text[:last], letters: text[last+3:]}
	if comma := bytes.IndexByte(in.letters, ','); comma >= 0 {
		in.letters, in.rest = in.letters[:comma], in.letters[comma:]
	}
	return in, true
}

// AppendWith adds the name of n with the letters l in the place of its own to
// dst: sorted, each once, with unknown letters and the rest as they are.
func (n Name) AppendWith(dst []byte, l Letters, sep Sep) []byte {
	dst = append(dst, n.Base...)
	if len(n.Exact) == 0 {
		return l.Append(append(dst, byte(sep), '2', ','))
	}
	in, ok := flagsOf(n.Exact, sep)
	if !ok {
		dst = append(dst, n.Exact...)
		return l.Append(append(dst, byte(sep), '2', ','))
	}
	dst = append(dst, in.before...)
	dst = append(dst, byte(sep), '2', ',')
	start := len(dst)
	dst = l.Append(dst)
	for _, c := range in.letters {
		if bitOf[c] == 0 {
			dst = append(dst, c)
		}
	}
	letters := dst[start:]
	slices.Sort(letters)
	dst = dst[:start+len(slices.Compact(letters))]
	return append(dst, in.rest...)
}

// With is AppendWith as a string.
func (n Name) With(l Letters, sep Sep) string {
	var buf [NameMax + 64]byte
	return string(n.AppendWith(buf[:0], l, sep))
}

// String is the name as it was parsed.
func (n Name) String() string { return string(n.Base) + string(n.Info) }

// FileName makes a name of base and letters; exact, if not empty, is the
// Exact of the Name that it was.
func FileName(base string, l Letters, exact string, sep Sep) string {
	if exact != "" {
		return base + exact
	}
	buf := make([]byte, 0, NameMax)
	return string(l.Append(append(append(buf, base...), byte(sep), '2', ',')))
}
