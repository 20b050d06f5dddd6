package auth

import (
	"fmt"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

const (
	maxNameSize     = 1024 // bytes of a user name
	maxPasswordSize = 1024 // bytes; some schemes take time quadratic in it
)

// NormalizeName returns name as it is compared: normalization form C. It refuses
// names that are empty, longer than 1 KiB, not UTF-8, or hold "/", a control or
// format character (NUL, line breaks, bidirectional overrides).
func NormalizeName(name string) (string, error) {
	if name == "" || len(name) > maxNameSize {
		return "", fmt.Errorf("auth: check user name: %d bytes, want 1 to %d", len(name), maxNameSize)
	}
	if !utf8.ValidString(name) {
		return "", fmt.Errorf("auth: check user name: not UTF-8")
	}
	for _, r := range name {
		if r == '/' || unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) {
			return "", fmt.Errorf("auth: check user name: character %U is not allowed", r)
		}
	}
	if name = norm.NFC.String(name); len(name) > maxNameSize {
		return "", fmt.Errorf("auth: check user name: too long")
	}
	return name, nil
}
