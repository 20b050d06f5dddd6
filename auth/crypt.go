package auth

import (
	"crypto/pbkdf2"
	"crypto/sha1" // for hashes made by Dovecot
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/go-crypt/crypt/algorithm"
	"github.com/go-crypt/crypt/algorithm/argon2"
	"github.com/go-crypt/crypt/algorithm/bcrypt"
	gopbkdf2 "github.com/go-crypt/crypt/algorithm/pbkdf2"
	"github.com/go-crypt/crypt/algorithm/scrypt"
	"github.com/go-crypt/crypt/algorithm/shacrypt"
)

// Parameters of new hashes: argon2id with 19 MiB, two passes, one lane. So much
// memory is used per check that runs at the same time.
const (
	newMemoryKiB = 19 * 1024
	newPasses    = 2
	newLanes     = 1
)

// What a stored hash may ask for. It keeps one odd line from taking the machine;
// each is far above what is in use.
const (
	maxMemoryKiB   = 1 << 20 // 1 GiB
	maxArgonWork   = 8 << 20 // KiB times passes
	maxLanes       = 64
	maxBcryptCost  = 16
	maxSHARounds   = 10_000_000
	maxPBKDFRounds = 10_000_000
	maxHashSize    = 1024 // bytes as stored
)

// Hash makes the password column for password, in the scheme that roost uses for
// new passwords, {ARGON2ID}.
func Hash(password string) (string, error) {
	if password == "" || len(password) > maxPasswordSize || strings.ContainsRune(password, 0) {
		return "", fmt.Errorf("auth: hash password: want 1 to %d bytes without NUL", maxPasswordSize)
	}
	h, err := argon2.New(argon2.WithVariantID(), argon2.WithMemoryInKiB(newMemoryKiB), argon2.WithIterations(newPasses),
		argon2.WithParallelism(newLanes), argon2.WithSaltLength(16), argon2.WithKeyLength(32))
	if err != nil {
		return "", fmt.Errorf("auth: hash password: %w", err)
	}
	d, err := h.Hash(password)
	if err != nil {
		return "", fmt.Errorf("auth: hash password: %w", err)
	}
	return "{ARGON2ID}" + d.Encode(), nil
}

// cryptDigest is a hash that says by itself what it is, $…$….
type cryptDigest struct {
	d     algorithm.Digest
	class string
}

func (c cryptDigest) match(password []byte) bool {
	ok, err := c.d.MatchBytesAdvanced(password)
	return ok && err == nil
}

func (c cryptDigest) cost() string { return c.class }

// crypts lists the hashes by what they start with. check returns what makes their
// cost, or an error if it is out of bounds.
var crypts = []struct {
	prefix  string
	schemes string // that may have it, beside CRYPT
	decode  algorithm.DecodeFunc
	check   func(parts []string) (string, error)
}{
	{"$argon2id$", "ARGON2ID ARGON2", argon2.Decode, checkArgon2},
	{"$argon2i$", "ARGON2I ARGON2", argon2.Decode, checkArgon2},
	{"$2a$", "BLF-CRYPT", bcrypt.Decode, checkBcrypt},
	{"$2b$", "BLF-CRYPT", bcrypt.Decode, checkBcrypt},
	{"$2y$", "BLF-CRYPT", bcrypt.Decode, checkBcrypt},
	{"$5$", "SHA256-CRYPT", shacrypt.Decode, checkSHACrypt},
	{"$6$", "SHA512-CRYPT", shacrypt.Decode, checkSHACrypt},
	{"$pbkdf2$", "PBKDF2 PBKDF2-SHA1", gopbkdf2.Decode, checkPBKDF2},
	{"$pbkdf2-sha1$", "PBKDF2-SHA1", gopbkdf2.Decode, checkPBKDF2},
	{"$pbkdf2-sha224$", "PBKDF2-SHA224", gopbkdf2.Decode, checkPBKDF2},
	{"$pbkdf2-sha256$", "PBKDF2-SHA256", gopbkdf2.Decode, checkPBKDF2},
	{"$pbkdf2-sha384$", "PBKDF2-SHA384", gopbkdf2.Decode, checkPBKDF2},
	{"$pbkdf2-sha512$", "PBKDF2-SHA512", gopbkdf2.Decode, checkPBKDF2},
	{"$scrypt$", "SCRYPT", scrypt.Decode, checkScrypt},
	{"$y$", "", scrypt.Decode, checkYescrypt},
}

func parseCrypt(scheme, data string) (digest, error) {
	if len(data) > maxHashSize {
		return nil, fmt.Errorf("auth: parse password: hash of %d bytes", len(data))
	}
	for _, c := range crypts {
		if !strings.HasPrefix(data, c.prefix) {
			continue
		}
		if scheme != "CRYPT" && !strings.Contains(" "+c.schemes+" ", " "+scheme+" ") {
			return nil, fmt.Errorf("auth: parse password: {%s} with a hash of another scheme (%s)", scheme, c.prefix)
		}
		class, err := c.check(strings.Split(data[len(c.prefix):], "$"))
		if err != nil {
			return nil, fmt.Errorf("auth: parse password: %s: %w", c.prefix, err)
		}
		d, err := c.decode(data)
		if err != nil {
			return nil, fmt.Errorf("auth: parse password: %s: malformed hash", c.prefix) // the error of decode may quote the hash
		}
		return cryptDigest{d, c.prefix + class}, nil
	}
	return nil, fmt.Errorf("auth: parse password: hash of an unsupported kind (too weak or unknown); set a new password")
}

// params reads "m=19456,t=2,p=1".
func params(s string) map[string]int {
	out := map[string]int{}
	for p := range strings.SplitSeq(s, ",") {
		key, value, _ := strings.Cut(p, "=")
		n, err := strconv.ParseUint(value, 10, 31)
		if err != nil {
			n = 0
		}
		out[key] = int(n)
	}
	return out
}

// checkArgon2 reads "v=19", "m=…,t=…,p=…", salt, key.
func checkArgon2(parts []string) (string, error) {
	if len(parts) != 4 {
		return "", fmt.Errorf("want four parts")
	}
	p := params(parts[1])
	m, t, lanes := p["m"], p["t"], p["p"]
	if m < 8 || m > maxMemoryKiB || t < 1 || t > maxArgonWork/m || lanes < 1 || lanes > maxLanes {
		return "", fmt.Errorf("cost %q out of bounds", parts[1])
	}
	if len(parts[2]) < 8 || len(parts[3]) < 16 {
		return "", fmt.Errorf("salt or hash too short")
	}
	return parts[1], nil
}

// checkBcrypt reads "12", salt and hash.
func checkBcrypt(parts []string) (string, error) {
	if len(parts) != 2 {
		return "", fmt.Errorf("want two parts")
	}
	if n, err := strconv.ParseUint(parts[0], 10, 8); err != nil || len(parts[0]) != 2 || n < 4 || n > maxBcryptCost {
		return "", fmt.Errorf("cost %q out of bounds", parts[0])
	}
	if len(parts[1]) != 53 {
		return "", fmt.Errorf("want 53 characters of salt and hash")
	}
	return parts[0], nil
}

// checkSHACrypt reads an optional "rounds=…", salt and hash.
func checkSHACrypt(parts []string) (string, error) {
	class := ""
	if len(parts) == 3 {
		class = parts[0]
		if n := params(class)["rounds"]; n < 1000 || n > maxSHARounds || !strings.HasPrefix(class, "rounds=") {
			return "", fmt.Errorf("%q out of bounds", class)
		}
		parts = parts[1:]
	}
	if len(parts) != 2 || len(parts[0]) > 16 || len(parts[1]) != 43 && len(parts[1]) != 86 {
		return "", fmt.Errorf("malformed salt or hash")
	}
	return class, nil
}

// checkPBKDF2 reads rounds, salt and hash.
func checkPBKDF2(parts []string) (string, error) {
	if len(parts) != 3 {
		return "", fmt.Errorf("want three parts")
	}
	if n, err := strconv.ParseUint(parts[0], 10, 31); err != nil || n < 1 || n > maxPBKDFRounds {
		return "", fmt.Errorf("%q rounds are out of bounds", parts[0])
	}
	if len(parts[2]) < 20 || len(parts[2]) > 128 {
		return "", fmt.Errorf("malformed hash")
	}
	return parts[0], nil
}

// checkScrypt reads "ln=16,r=8,p=1", salt and hash.
func checkScrypt(parts []string) (string, error) {
	if len(parts) != 3 {
		return "", fmt.Errorf("want three parts")
	}
	p := params(parts[0])
	if p["ln"] < 1 || p["ln"] > 20 || p["r"] < 1 || p["r"] > 64 || p["p"] < 1 || p["p"] > 16 || p["r"]<<p["ln"] > maxMemoryKiB*8 {
		return "", fmt.Errorf("cost %q out of bounds", parts[0])
	}
	if len(parts[2]) < 20 || len(parts[2]) > 128 {
		return "", fmt.Errorf("malformed hash")
	}
	return parts[0], nil
}

// checkYescrypt reads "j9T", salt and hash, as libxcrypt makes them (the hashes of
// /etc/shadow): "j", one character for the logarithm of N, one for r.
func checkYescrypt(parts []string) (string, error) {
	const digits = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	if len(parts) != 3 || len(parts[0]) != 3 || parts[0][0] != 'j' {
		return "", fmt.Errorf("parameters out of bounds")
	}
	ln, r := strings.IndexByte(digits, parts[0][1])+1, strings.IndexByte(digits, parts[0][2])+1
	if ln < 10 || ln > 18 || r < 1 || r > 32 || len(parts[2]) != 43 {
		return "", fmt.Errorf("cost %q out of bounds", parts[0])
	}
	return parts[0], nil
}

// dovecotPBKDF2 is Dovecot's {PBKDF2}: $1$salt$rounds$hex, HMAC-SHA-1.
type dovecotPBKDF2 struct {
	salt   string
	rounds int
	key    []byte
}

func parseDovecotPBKDF2(data string) (digest, error) {
	parts := strings.Split(data, "$")
	if len(parts) != 5 || len(data) > maxHashSize {
		return nil, fmt.Errorf("auth: parse password: {PBKDF2}: want $1$salt$rounds$hash")
	}
	rounds, err := strconv.ParseUint(parts[3], 10, 31)
	if err != nil || rounds < 1 || rounds > maxPBKDFRounds {
		return nil, fmt.Errorf("auth: parse password: {PBKDF2}: %q rounds are out of bounds", parts[3])
	}
	key, err := hex.DecodeString(parts[4])
	if err != nil || len(key) != sha1.Size {
		return nil, fmt.Errorf("auth: parse password: {PBKDF2}: malformed hash")
	}
	return dovecotPBKDF2{parts[2], int(rounds), key}, nil
}

func (d dovecotPBKDF2) match(password []byte) bool {
	key, err := pbkdf2.Key(sha1.New, string(password), []byte(d.salt), d.rounds, sha1.Size)
	return err == nil && subtle.ConstantTimeCompare(key, d.key) == 1
}

func (d dovecotPBKDF2) cost() string { return "{PBKDF2}" + strconv.Itoa(d.rounds) }
