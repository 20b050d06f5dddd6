package auth

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/xdg-go/scram"
)

// run feeds messages to e until it is done or fails.
func run(e Exchange, messages ...[]byte) (challenges []string, done bool, err error) {
	for _, m := range messages {
		var c []byte
		c, done, err = e.Next(m)
		if done || err != nil {
			return challenges, done, err
		}
		challenges = append(challenges, string(c))
	}
	return challenges, done, nil
}

func TestPlain(t *testing.T) {
	tests := []struct {
		message        string
		user, password string // empty = malformed
	}{
		{"\x00tim\x00tanstaaftanstaaf", "tim", "tanstaaftanstaaf"}, // RFC 4616 §4
		{"Ursel\x00Kurt\x00xipj3plmq", "", ""},                     // RFC 4616 §4: refused
		{"tim\x00tim\x00pw", "tim", "pw"},
		{"\x00tim\x00p\tw\x01=\n", "tim", "p\tw\x01=\n"},
		{"\x00%u%%{home}\x00pw", "%u%%{home}", "pw"},
		{"\x00tim\x00p\xff", "tim", "p\xff"}, // old clients send Latin-1
		{"\x00t\xffm\x00pw", "", ""},
		{"", "", ""},
		{"tim", "", ""},               // no NUL
		{"tim\x00pw", "", ""},         // one
		{"\x00tim\x00pw\x00", "", ""}, // three
		{"\x00\x00pw", "", ""},        // no name
		{"\x00tim\x00", "", ""},       // no password
		{"\x00\x00", "", ""},          // nothing
		{"TIM\x00tim\x00pw", "", ""},  // case counts
		{" \x00tim\x00pw", "", ""},    //
		{"\x00" + strings.Repeat("a", 1024) + "\x00pw", strings.Repeat("a", 1024), "pw"},
		{"\x00" + strings.Repeat("a", 1025) + "\x00pw", "", ""},
		{"\x00tim\x00" + strings.Repeat("a", 8192), "", ""},
	}
	for _, tt := range tests {
		for _, initial := range []bool{true, false} {
			e := &plainExchange{limits: SASLLimits{}.withDefaults()}
			messages := [][]byte{[]byte(tt.message)}
			if !initial {
				messages = [][]byte{nil, []byte(tt.message)}
			}
			_, done, err := run(e, messages...)
			out := e.outcome()
			if done != (tt.user != "") || (err != nil) == done || out.ok != done || err != nil && !errors.Is(err, ErrMalformed) {
				t.Errorf("%.40q: done %t, %v", tt.message, done, err)
			}
			if out.user != tt.user || out.password != tt.password {
				t.Errorf("%.40q: %q, %q", tt.message, out.user, out.password)
			}
			if _, done, err := e.Next([]byte("\x00a\x00b")); done || err == nil {
				t.Errorf("%.40q: goes on when it is over", tt.message)
			}
		}
	}
}

func TestLoginMechanism(t *testing.T) {
	b := func(s string) []byte { return []byte(s) }
	tests := []struct {
		name       string
		messages   [][]byte
		challenges string
		user       string // empty = malformed
	}{
		{"no initial response", [][]byte{nil, b("ann"), b("pw")}, "Username:,Password:", "ann"},
		{"initial response", [][]byte{b("ann"), b("pw")}, "Password:", "ann"},
		{"empty initial response", [][]byte{b(""), b("ann"), b("pw")}, "Username:,Password:", "ann"},
		{"empty name", [][]byte{nil, b("")}, "Username:", ""},
		{"empty password", [][]byte{b("ann"), b("")}, "Password:", ""},
		{"NUL", [][]byte{b("an\x00n")}, "", ""},
		{"NUL in password", [][]byte{b("ann"), b("p\x00w")}, "Password:", ""},
		{"not UTF-8", [][]byte{b("\xffann")}, "", ""},
		{"long", [][]byte{b(strings.Repeat("a", 8193))}, "", ""},
		{"long name", [][]byte{b(strings.Repeat("a", 1025))}, "", ""},
	}
	for _, tt := range tests {
		e := &loginExchange{limits: SASLLimits{}.withDefaults()}
		challenges, done, err := run(e, tt.messages...)
		if got := strings.Join(challenges, ","); got != tt.challenges || done != (tt.user != "") || (err != nil) == done {
			t.Errorf("%s: challenges %q, done %t, %v", tt.name, got, done, err)
		}
		if out := e.outcome(); out.user != tt.user || out.ok != done {
			t.Errorf("%s: %+v", tt.name, out)
		}
		if _, done, err := e.Next([]byte("x")); done || err == nil {
			t.Errorf("%s: goes on when it is over", tt.name)
		}
	}
}

func scramService(t testing.TB) *Service {
	t.Helper()
	return newService(t, "ann:{PLAIN}secret\n"+
		"bob:{SCRAM-SHA-256}4096,0XvVQtk0LyDTT39CuDXnGQ==,ATSAiyD742BDZW3bUs1FMNV1drZjZ0NE9XnpAkaYGUQ=,AeKh8u3hxMbejRYmPC20Y3/6pyNsynPx2b3a4jaybkE=\n"+
		"hashed:{SHA256}f7RERuWhObO3oHciFhtpNCnGhD0FNBL7CyE3AkK4vbA=\nlocked:!\n", ThrottleOptions{})
}

func TestScram(t *testing.T) {
	s := scramService(t)
	tests := []struct {
		mech, user, password, authzid string
		ok                            bool
	}{
		{"SCRAM-SHA-256", "ann", "secret", "", true},
		{"scram-sha-1", "ann", "secret", "", true},
		{"SCRAM-SHA-256", "ann", "secret", "ann", true},
		{"SCRAM-SHA-256", "ann", "wrong", "", false},
		{"SCRAM-SHA-256", "bob", "pässword 1", "", true},
		{"SCRAM-SHA-256", "bob", "pässword 2", "", false},
		{"SCRAM-SHA-1", "bob", "pässword 1", "", false},
		{"SCRAM-SHA-256", "hashed", "pässword 1", "", false},
		{"SCRAM-SHA-256", "locked", "x", "", false},
		{"SCRAM-SHA-256", "nobody", "x", "", false},
	}
	for _, tt := range tests {
		e, err := s.Start(tt.mech)
		if err != nil {
			t.Fatal(err)
		}
		h := scram.SHA256
		if strings.HasSuffix(tt.mech, "-1") {
			h = scram.SHA1
		}
		client, err := h.NewClient(tt.user, tt.password, tt.authzid)
		if err != nil {
			t.Fatal(err)
		}
		conv := client.NewConversation()
		first, err := conv.Step("")
		if err != nil {
			t.Fatal(err)
		}
		before := s.Checks()
		challenge, done, err := e.Next([]byte(first))
		if err != nil || done {
			t.Fatalf("%+v: done %t, %v", tt, done, err)
		}
		if got := s.Checks() - before; got != 1 {
			t.Errorf("%+v: %d derivations, want 1 whoever it is", tt, got)
		}
		final, err := conv.Step(string(challenge))
		if err != nil {
			t.Fatalf("%+v: %v", tt, err)
		}
		last, done, err := e.Next([]byte(final))
		if last != nil || !done || err != nil {
			t.Errorf("%+v: %q, done %t, %v: the outcome shows before Finish", tt, last, done, err)
		}
		u, err := s.Finish(t.Context(), e, localhost)
		if (err == nil) != tt.ok || err == nil && u.Name != tt.user || err != nil && !errors.Is(err, ErrInvalid) {
			t.Errorf("%+v: %+v, %v", tt, u, err)
		}
		if (e.Additional() != nil) != tt.ok {
			t.Errorf("%+v: additional %q", tt, e.Additional())
		}
		if tt.ok {
			if _, err := conv.Step(string(e.Additional())); err != nil || !conv.Valid() {
				t.Errorf("%+v: the client does not believe the server: %v", tt, err)
			}
		}
	}
}

func TestScramMessages(t *testing.T) {
	s := scramService(t)
	for _, first := range []string{"", "n,,n=ann", "x,,n=ann,r=abc", "p=tls-exporter,,n=ann,r=abc", "p=nonsense,,n=ann,r=abc", "n,a=bob,n=ann,r=abc",
		"n,,n=a=41,r=abc", "n,,n=,r=abc", "n,,m=x,n=ann,r=abc", "n,,n=a\x00b,r=abc", "n,,n=\xff,r=abc", "n,,n=" + strings.Repeat("a", 1025) + ",r=abc", strings.Repeat("a", 8193)} {
		e, err := s.Start("SCRAM-SHA-256")
		if err != nil {
			t.Fatal(err)
		}
		if _, done, err := e.Next([]byte(first)); done || !errors.Is(err, ErrMalformed) {
			t.Errorf("%.40q: done %t, %v", first, done, err)
		}
		if _, err := s.Finish(t.Context(), e, localhost); !errors.Is(err, ErrInvalid) {
			t.Errorf("%.40q: finish: %v", first, err)
		}
	}
	for _, final := range []string{"", "c=biws", "c=biws,r=other,p=AAAA", "c=eSws,r=x,p=AAAA", "c=biws,r=,p="} {
		e, err := s.Start("SCRAM-SHA-256")
		if err != nil {
			t.Fatal(err)
		}
		_, done, err := run(e, nil, []byte("n,,n=ann,r=abc"), []byte(final))
		if !done || err != nil {
			t.Errorf("%q: done %t, %v", final, done, err)
		}
		if _, err := s.Finish(t.Context(), e, localhost); !errors.Is(err, ErrInvalid) || e.Additional() != nil {
			t.Errorf("%q: finish: %v", final, err)
		}
	}
}

func TestScramDecoyIsStable(t *testing.T) {
	s := scramService(t)
	parameters := func(user string) string {
		t.Helper()
		e, err := s.Start("SCRAM-SHA-256")
		if err != nil {
			t.Fatal(err)
		}
		challenge, _, err := e.Next([]byte("n,,n=" + user + ",r=abc"))
		if err != nil {
			t.Fatal(err)
		}
		_, saltAndIterations, _ := bytes.Cut(challenge, []byte(","))
		return string(saltAndIterations)
	}
	seen := map[string]string{}
	for _, user := range []string{"ann", "bob", "nobody", "hashed", "locked"} {
		p := parameters(user)
		if again := parameters(user); again != p {
			t.Errorf("%s: %q, then %q", user, p, again)
		}
		if other, ok := seen[p]; ok {
			t.Errorf("%s and %s have the same salt", user, other)
		}
		seen[p] = user
		if !strings.HasSuffix(p, ",i=4096") || len(p) != len("s=0XvVQtk0LyDTT39CuDXnGQ==,i=4096") {
			t.Errorf("%s: %q gives him away", user, p)
		}
	}
}

// FuzzExchange drives every mechanism with any messages, cut anywhere: lines of
// data are messages, and the exchange may be left after each.
func FuzzExchange(f *testing.F) {
	s := scramService(f)
	f.Add(uint8(0), []byte("\x00ann\x00secret"))
	f.Add(uint8(1), []byte("ann\nsecret"))
	f.Add(uint8(2), []byte("n,,n=ann,r=abc\nc=biws,r=abc,p=AAAA\n"))
	f.Add(uint8(3), []byte("n,a=ann,n=ann,r=abc\n\n*\n\xff"))
	f.Fuzz(func(t *testing.T, mech uint8, data []byte) {
		name := []string{"PLAIN", "LOGIN", "SCRAM-SHA-1", "SCRAM-SHA-256"}[mech%4]
		e, err := s.Start(name)
		if err != nil {
			t.Fatal(err)
		}
		over := false
		steps := 0
		for message := range bytes.SplitSeq(data, []byte("\n")) {
			if steps++; steps > 10 {
				break
			}
			_, done, err := e.Next(message)
			if over && (done || err == nil) {
				t.Fatalf("%s goes on when it is over", name)
			}
			if done && err != nil || err != nil && !errors.Is(err, ErrMalformed) {
				t.Fatalf("%s: done %t, %v", name, done, err)
			}
			over = over || done || err != nil
		}
		u, err := s.Finish(t.Context(), e, localhost)
		if err == nil && (u.Name != "ann" || !bytes.Contains(data, []byte("secret"))) {
			t.Fatalf("%s let in %q for %q", name, u.Name, data)
		}
		if err != nil && !errors.Is(err, ErrInvalid) {
			t.Fatalf("%s: %v", name, err)
		}
	})
}

// TestCutExchange leaves every mechanism after every byte of a good exchange.
func TestCutExchange(t *testing.T) {
	s := scramService(t)
	for _, mech := range []string{"PLAIN", "LOGIN", "SCRAM-SHA-256"} {
		good := map[string]string{"PLAIN": "\x00ann\x00secret", "LOGIN": "ann", "SCRAM-SHA-256": "n,,n=ann,r=abc"}[mech]
		for n := range len(good) {
			e, err := s.Start(mech)
			if err != nil {
				t.Fatal(err)
			}
			e.Next([]byte(good[:n])) // its error is not the point
			if mech == "PLAIN" && strings.Count(good[:n], "\x00") == 2 && n > len("\x00ann\x00") {
				continue // a shorter password is a password
			}
			if _, err := s.Finish(t.Context(), e, localhost); !errors.Is(err, ErrInvalid) {
				t.Errorf("%s cut at %d: %v", mech, n, err)
			}
		}
	}
}
