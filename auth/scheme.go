package auth

import (
	"crypto/sha1" // for hashes made by others
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash"
	"strings"
)

// A digest is a stored password.
type digest interface {
	// match says whether password is right. The time it takes does not depend on
	// how much of it is.
	match(password []byte) bool
	// cost names the scheme and its parameters: digests of one cost take as long.
	cost() string
}

// parsePassword reads the password column: {SCHEME}data, or a hash that says by
// itself what it is ($6$…). It is locked if it is empty or starts, before or after
// the scheme, with "!" or "*".
func parsePassword(s string) (d digest, locked bool, err error) {
	if s == "" || s[0] == '!' || s[0] == '*' {
		return nil, true, nil
	}
	scheme, data := "CRYPT", s
	if s[0] == '{' {
		end := strings.IndexByte(s, '}')
		if end < 0 {
			return nil, false, fmt.Errorf("auth: parse password: no \"}\" after the scheme")
		}
		scheme, data = strings.ToUpper(s[1:end]), s[end+1:]
	}
	scheme, encoding, _ := strings.Cut(scheme, ".")
	plain := scheme == "PLAIN" || scheme == "CLEARTEXT"
	if data == "" || !plain && (data[0] == '!' || data[0] == '*') {
		return nil, true, nil
	}
	switch encoding {
	case "", "HEX", "B64", "BASE64":
	default:
		return nil, false, fmt.Errorf("auth: parse password: unknown encoding %q", encoding)
	}
	d, err = parseScheme(scheme, encoding, data)
	return d, false, err
}

func parseScheme(scheme, encoding, data string) (digest, error) {
	if s, ok := shaSchemes[scheme]; ok {
		return parseSHA(scheme, s, encoding, data)
	}
	if encoding != "" {
		return nil, fmt.Errorf("auth: parse password: {%s} has no encodings", scheme)
	}
	switch scheme {
	case "PLAIN", "CLEARTEXT":
		return plainDigest(data), nil
	case "SCRAM-SHA-1", "SCRAM-SHA-256":
		return parseScramDigest(scheme, data)
	case "PBKDF2":
		if strings.HasPrefix(data, "$1$") {
			return parseDovecotPBKDF2(data)
		}
		return parseCrypt("PBKDF2", "$pbkdf2$"+strings.TrimPrefix(data, "$pbkdf2$"))
	case "PBKDF2-SHA1", "PBKDF2-SHA224", "PBKDF2-SHA256", "PBKDF2-SHA384", "PBKDF2-SHA512":
		prefix := "$" + strings.ToLower(scheme) + "$"
		return parseCrypt(scheme, prefix+strings.TrimPrefix(data, prefix))
	case "CRYPT", "ARGON2ID", "ARGON2I", "ARGON2", "BLF-CRYPT", "SHA256-CRYPT", "SHA512-CRYPT", "SCRYPT":
		return parseCrypt(scheme, data)
	}
	return nil, fmt.Errorf("auth: parse password: scheme {%s} is not supported (too weak or unknown); set a new password", scheme)
}

// plainDigest is a password in clear.
type plainDigest string

func (d plainDigest) match(password []byte) bool {
	// The comparison of hashes hides the length.
	want, got := sha256.Sum256([]byte(d)), sha256.Sum256(password)
	return subtle.ConstantTimeCompare(want[:], got[:]) == 1
}

func (plainDigest) cost() string { return "PLAIN" }

// A shaScheme is one round of a hash over password and salt.
type shaScheme struct {
	new    func() hash.Hash
	size   int
	salted bool
}

var shaSchemes = map[string]shaScheme{
	"SHA":     {sha1.New, sha1.Size, false},
	"SHA1":    {sha1.New, sha1.Size, false},
	"SHA256":  {sha256.New, sha256.Size, false},
	"SHA512":  {sha512.New, sha512.Size, false},
	"SSHA":    {sha1.New, sha1.Size, true},
	"SSHA256": {sha256.New, sha256.Size, true},
	"SSHA512": {sha512.New, sha512.Size, true},
}

type shaDigest struct {
	name      string
	scheme    shaScheme
	sum, salt []byte
}

func parseSHA(name string, s shaScheme, encoding, data string) (digest, error) {
	raw, err := decodeHash(encoding, data, s.size)
	if err != nil {
		return nil, fmt.Errorf("auth: parse password: {%s}: %w", name, err)
	}
	if len(raw) < s.size || len(raw) > s.size && !s.salted {
		return nil, fmt.Errorf("auth: parse password: {%s}: %d bytes, want %d", name, len(raw), s.size)
	}
	return shaDigest{name, s, raw[:s.size], raw[s.size:]}, nil
}

// decodeHash reads hexadecimal or base64 as encoding says; without one, hexadecimal
// if it can only be that.
func decodeHash(encoding, data string, size int) ([]byte, error) {
	isHex := encoding == "HEX"
	if encoding == "" && len(data) == 2*size {
		_, err := hex.DecodeString(data)
		isHex = err == nil
	}
	if isHex {
		return hex.DecodeString(data)
	}
	return base64.RawStdEncoding.DecodeString(strings.TrimRight(data, "="))
}

func (d shaDigest) match(password []byte) bool {
	h := d.scheme.new()
	h.Write(password)
	h.Write(d.salt)
	return subtle.ConstantTimeCompare(h.Sum(nil), d.sum) == 1
}

func (d shaDigest) cost() string { return d.name }
