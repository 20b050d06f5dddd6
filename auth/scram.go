package auth

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha1" // SCRAM-SHA-1 is RFC 5802
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"hash"
	"strconv"
	"strings"

	"github.com/xdg-go/scram"
	"github.com/xdg-go/stringprep"
)

// scramIterations is what RFC 7677 §4 asks for at least; more would be paid by the
// client, and is what decoys and passwords stored in clear have.
const (
	scramIterations    = 4096
	maxScramIterations = 10_000_000
	scramSaltSize      = 16
)

// A scramDigest holds the stored keys of RFC 5802 §3, as Dovecot writes them:
// {SCRAM-SHA-256}iterations,salt,StoredKey,ServerKey, base64.
type scramDigest struct {
	scheme string
	scram.StoredCredentials
}

func scramHash(scheme string) func() hash.Hash {
	if scheme == "SCRAM-SHA-1" {
		return sha1.New
	}
	return sha256.New
}

func parseScramDigest(scheme, data string) (digest, error) {
	fail := func(what string) (digest, error) {
		return nil, fmt.Errorf("auth: parse password: {%s}: %s", scheme, what)
	}
	parts := strings.Split(data, ",")
	if len(parts) != 4 || len(data) > maxHashSize {
		return fail("want iterations,salt,stored key,server key")
	}
	n, err := strconv.ParseUint(parts[0], 10, 31)
	if err != nil || n < scramIterations || n > maxScramIterations {
		return fail("iterations out of bounds")
	}
	var raw [3][]byte
	for i := range raw {
		if raw[i], err = base64.StdEncoding.DecodeString(parts[i+1]); err != nil {
			return fail("malformed base64")
		}
	}
	size := scramHash(scheme)().Size()
	if len(raw[0]) < 8 || len(raw[1]) != size || len(raw[2]) != size {
		return fail("malformed keys")
	}
	return scramDigest{scheme, scram.StoredCredentials{
		KeyFactors: scram.KeyFactors{Salt: string(raw[0]), Iters: int(n)}, StoredKey: raw[1], ServerKey: raw[2],
	}}, nil
}

// match checks a password that came in clear.
func (d scramDigest) match(password []byte) bool {
	c, err := scramCredentials(d.scheme, password, d.KeyFactors)
	return err == nil && subtle.ConstantTimeCompare(c.StoredKey, d.StoredKey) == 1
}

func (d scramDigest) cost() string { return d.scheme + " " + strconv.Itoa(d.Iters) }

// scramCredentials derives the stored keys, RFC 5802 §3.
func scramCredentials(scheme string, password []byte, f scram.KeyFactors) (scram.StoredCredentials, error) {
	prepared, err := stringprep.SASLprep.Prepare(string(password))
	if err != nil {
		prepared = string(password) // a password that SASLprep prohibits: better as it is than none
	}
	h := scramHash(scheme)
	salted, err := pbkdf2.Key(h, prepared, []byte(f.Salt), f.Iters, h().Size())
	if err != nil {
		return scram.StoredCredentials{}, fmt.Errorf("auth: derive keys: %w", err)
	}
	clientKey := macOf(h, salted, "Client Key")
	stored := h()
	stored.Write(clientKey)
	return scram.StoredCredentials{KeyFactors: f, StoredKey: stored.Sum(nil), ServerKey: macOf(h, salted, "Server Key")}, nil
}

func macOf(h func() hash.Hash, key []byte, text string) []byte {
	m := hmac.New(h, key)
	m.Write([]byte(text))
	return m.Sum(nil)
}

// credentialsFor returns what the exchange of scheme needs for the user name, and
// his account. Whoever is unknown or has no fitting password gets keys that nobody
// has the password for, with a salt that stays the same. The work is the same for
// all: keys are derived once, needed or not.
func (s *Service) credentialsFor(scheme, name string) (scram.StoredCredentials, *account, error) {
	u, err := s.file.load()
	if err != nil {
		return scram.StoredCredentials{}, nil, err
	}
	var a *account
	if normal, err := NormalizeName(name); err == nil {
		name = normal
		a = u.byName[name]
	}
	if a != nil && a.locked {
		a = nil
	}
	factors := scram.KeyFactors{
		Salt:  string(macOf(sha256.New, s.secret, scheme+"\x00"+name)[:scramSaltSize]),
		Iters: u.scramIters[scheme],
	}
	password := macOf(sha256.New, s.secret, "password\x00"+name)
	fits := false
	if a != nil {
		var plain plainDigest
		if plain, fits = a.digest.(plainDigest); fits {
			password = []byte(plain)
		}
	}
	s.checks.Add(1)
	c, err := scramCredentials(scheme, password, factors)
	if err != nil {
		return c, nil, err
	}
	if a != nil {
		if d, ok := a.digest.(scramDigest); ok && d.scheme == scheme {
			return d.StoredCredentials, a, nil
		}
	}
	if !fits {
		a = nil
	}
	return c, a, nil
}

type scramOutcome struct {
	account *account // nil for a decoy
	valid   bool     // the client's proof was right
	err     error    // ErrUnavailable
}

// scramExchange is SCRAM-SHA-1 or SCRAM-SHA-256 (RFC 5802 §5, RFC 7677) without
// channel binding. Whether the proof was right shows only in Finish, so that a
// client cannot learn it without the delays; a wrong one gets no server-final.
type scramExchange struct {
	limits     SASLLimits
	scheme     string
	conv       *scram.ServerConversation
	step       int
	additional []byte // server-final
	out        outcome
}

func (s *Service) newScram(scheme string) (Exchange, error) {
	e := &scramExchange{limits: s.sasl, scheme: scheme, out: outcome{scram: &scramOutcome{}}}
	server, err := scram.HashGeneratorFcn(scramHash(scheme)).NewServer(func(name string) (scram.StoredCredentials, error) {
		if err := checkAuthid([]byte(name), e.limits.Authid); err != nil {
			return scram.StoredCredentials{}, err
		}
		c, a, err := s.credentialsFor(scheme, name)
		e.out.scram.account, e.out.scram.err = a, err
		return c, err
	})
	if err != nil {
		return nil, fmt.Errorf("auth: start %s: %w", scheme, err)
	}
	e.conv = server.NewConversation()
	return e, nil
}

const (
	scramFirst = iota // waiting for client-first
	scramFinal        // waiting for client-final
	scramOver
)

func (e *scramExchange) Next(response []byte) ([]byte, bool, error) {
	step := e.step
	if response == nil && step == scramFirst {
		return []byte{}, false, nil
	}
	e.step = scramOver
	if len(response) > e.limits.Message {
		return nil, false, malformed("%s message of %d bytes", e.scheme, len(response))
	}
	switch step {
	case scramFirst:
		return e.first(string(response))
	case scramFinal:
		return e.final(string(response))
	}
	return nil, false, malformed("%s is over", e.scheme)
}

func (e *scramExchange) first(message string) ([]byte, bool, error) {
	challenge, err := e.conv.Step(message)
	if e.out.scram.err != nil {
		return nil, true, nil // Finish tells
	}
	if err != nil {
		return nil, false, malformed("%s: client's first message", e.scheme)
	}
	user := e.conv.Username()
	if authzid := e.conv.AuthzID(); authzid != "" && authzid != user {
		return nil, false, malformed("authorization identity differs from user name")
	}
	e.out.user = user
	e.step = scramFinal
	return []byte(challenge), false, nil
}

func (e *scramExchange) final(message string) ([]byte, bool, error) {
	last, err := e.conv.Step(message)
	if err == nil && e.conv.Valid() && e.out.scram.account != nil {
		e.out.scram.valid = true
		e.additional = []byte(last)
	}
	e.out.ok = true
	return nil, true, nil
}

// Additional is the server-final message, with which the server proves that it
// knows the password too.
func (e *scramExchange) Additional() []byte { return e.additional }

func (e *scramExchange) outcome() outcome { return e.out }
