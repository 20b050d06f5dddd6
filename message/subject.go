package message

import "strings"

// maxSubject is how much of a subject BaseSubject looks at.
const maxSubject = 64 << 10

// BaseSubject takes the artifacts of replies and forwards away (RFC 5256 §2.1)
// from a subject that DecodeText made of its field, which is step 1. reply says
// that there were any (§3, REFERENCES step 5).
func BaseSubject(s string) (base string, reply bool) {
	s = s[:min(len(s), maxSubject)]
	for {
		var found bool
		s, found = cutTrailers(s)
		reply = reply || found
		s, found = cutLeaders(s)
		reply = reply || found
		const fwd = "[fwd:"
		if len(s) <= len(fwd) || !equalFold(s[:len(fwd)], fwd) || s[len(s)-1] != ']' {
			return s, reply
		}
		s, reply = s[len(fwd):len(s)-1], true
	}
}

// cutTrailers is step 2:
//
//	subj-trailer = "(fwd)" / WSP
func cutTrailers(s string) (rest string, reply bool) {
	const fwd = "(fwd)"
	for {
		s = strings.TrimRight(s, " \t")
		if len(s) < len(fwd) || !equalFold(s[len(s)-len(fwd):], fwd) {
			return s, reply
		}
		s, reply = s[:len(s)-len(fwd)], true
	}
}

// cutLeaders is steps 3 to 5:
//
//	subj-leader = (*subj-blob subj-refwd) / WSP
//
// Taking blobs away one by one leaves what is behind all of them, or the last
// blob if nothing is, so each run of blobs is read once.
func cutLeaders(s string) (rest string, reply bool) {
	for {
		s = strings.TrimLeft(s, " \t")
		behind, last := s, s
		for {
			n := blob(behind)
			if n == 0 {
				break
			}
			last, behind = behind, behind[n:]
		}
		if n := refwd(behind); n > 0 {
			s, reply = behind[n:], true
			continue
		}
		if behind == "" {
			return last, reply
		}
		return behind, reply
	}
}

// blob returns the length of
//
//	subj-blob = "[" *BLOBCHAR "]" *WSP
//
// at the start of s, 0 if there is none.
func blob(s string) int {
	if s == "" || s[0] != '[' {
		return 0
	}
	i := strings.IndexAny(s[1:], "[]") + 1
	if i == 0 || s[i] != ']' {
		return 0
	}
	i++
	for i < len(s) && isWSP(s[i]) {
		i++
	}
	return i
}

// refwd returns the length of
//
//	subj-refwd = ("re" / ("fw" ["d"])) *WSP [subj-blob] ":"
//
// at the start of s, 0 if there is none.
func refwd(s string) int {
	i := 0
	for _, word := range [...]string{"fwd", "re", "fw"} {
		if len(s) >= len(word) && equalFold(s[:len(word)], word) {
			i = len(word)
			break
		}
	}
	if i == 0 {
		return 0
	}
	for i < len(s) && isWSP(s[i]) {
		i++
	}
	i += blob(s[i:])
	if i < len(s) && s[i] == ':' {
		return i + 1
	}
	return 0
}
