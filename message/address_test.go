package message

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestParseAddresses(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"", ""},
		{"a@b", "<a@b>"},
		{"Ann <a@b>", "Ann<a@b>"},
		{`"Ann \"X\" E." <a@b>`, `Ann "X" E.<a@b>`},
		{"\"folded\r\n name\" <a@b>", "folded name<a@b>"},
		{"a@b (Ann)", "Ann<a@b>"},
		{"a@b (one) (two)", "two<a@b>"},
		{"Ann (x) <a@b>", "Ann<a@b>"},
		{"(x) <a@b>", "x<a@b>"},
		{"(a (nested) one) a@b", "a (nested) one<a@b>"},
		{"a@b, c@d", "<a@b> <c@d>"},
		{"a@b; c@d", "<a@b> <c@d>"},
		{"g: a@b, c@d; e@f", "{g} <a@b> <c@d> {} <e@f>"},
		{"g:;", "{g} {}"},
		{":;", "{} {}"},
		{"g: a@b", "{g} <a@b> {}"},
		{"g: h: a@b;", "{g} h:<a@b> {}"},
		{"\"Group, Name\": a@b;", "{Group, Name} <a@b> {}"},
		{"<@r1,@r2:a@b>", "<[@r1,@r2]a@b>"},
		{"<@r1,@r2 a@b>", "<@r1> <@r2@b>"},
		{"<a@b", "<a@b>"},
		{"<a@b> <c@d>", "<a@b>"},
		{"<<a@b>>", "<a@b>"},
		{"Ann <a@b> junk, c@d", "Ann<a@b> <c@d>"},
		{"Ann <a@b> \"junk, more\", c@d", "Ann<a@b> <c@d>"},
		{"a @ b", "<a@b>"},
		{"a.b . c@d . e", "<a.b.c@d.e>"},
		{"John Doe a@b", "John Doe<a@b>"},
		{"<john doe@b>", "<john doe@b>"},
		{"a@b.c <d@e>", "a@b.c<d@e>"},
		{"a@[1.2.3.4]", "<a@[1.2.3.4]>"},
		{"a@[1.2", "<a@[1.2>"},
		{"a@b\x00c", "<a@b>"},
		{"undisclosed", "<undisclosed@>"},
		{"\"\" <a@b>", "<a@b>"},
		{"\"", ""},
		{"(", ""},
		{"\\", "<\\@>"},
		{"(\\", ""},
		{"a@b (\\", "\\<a@b>"},
		{"@", "<@>"},
		{"<", "<@>"},
		{">", "<>@>"},
		{",,;;", ""},
		{"=?utf-8?q?a=2Cb?= <a@b>", "=?utf-8?q?a=2Cb?=<a@b>"},
	} {
		var got []string
		for _, a := range ParseAddresses([]byte(tt.in), MaxAddresses) {
			switch a.Kind {
			case AddressGroupStart:
				got = append(got, "{"+a.Mailbox+"}")
			case AddressGroupEnd:
				got = append(got, "{}")
			default:
				if a.Route != "" {
					a.Route = "[" + a.Route + "]"
				}
				got = append(got, fmt.Sprintf("%s<%s%s@%s>", a.Name, a.Route, a.Mailbox, a.Host))
			}
		}
		if s := strings.Join(got, " "); s != tt.want {
			t.Errorf("%q: %s, want %s", tt.in, s, tt.want)
		}
	}
}

func TestAddressLimit(t *testing.T) {
	for _, in := range []string{"a@b,", "<a@b>,", "g:a;", "\"x\" <", "(c)a,"} {
		list := ParseAddresses([]byte(strings.Repeat(in, 100000)), 1<<30)
		n := 0
		for _, a := range list {
			if a.Kind != AddressGroupEnd {
				n++
			}
		}
		if n > MaxAddresses || n == 0 {
			t.Errorf("%q: %d addresses", in, n)
		}
	}
	msg := []byte("To: " + strings.Repeat("a@b, ", 100000) + "x@y\n\n")
	if n := strings.Count(string(mustParse(t, msg).AppendEnvelope(nil)), `"a"`); n != MaxAddresses {
		t.Errorf("envelope has %d addresses", n)
	}
}

// parsers take the raw value of a field; none may take more than linear time.
var parsers = map[string]func([]byte){
	"addresses": func(b []byte) { ParseAddresses(b, MaxAddresses) },
	"words":     func(b []byte) { DecodeText(b) },
	"ids":       func(b []byte) { MessageIDs(b) },
	"subject":   func(b []byte) { BaseSubject(string(b)) },
	"html":      func(b []byte) { stripHTML(string(b)) },
	"type": func(b []byte) {
		p := parser{kept: maxKept}
		p.params(b)
		p.languages(b)
	},
	"casemap": func(b []byte) { Casemap(string(b)) },
	"message": func(b []byte) {
		msg := append([]byte("Content-Type: multipart/mixed; boundary=b\n\n"), b...)
		if p, err := ParseBytes(msg); err == nil {
			p.AppendBodyStructure(nil)
		}
	},
}

// TestLinearTime compares sixteen times the input with the input: linear takes
// 16 times as long, quadratic 256.
func TestLinearTime(t *testing.T) {
	pieces := []string{"(", "\"", "<@", "<", "a@", ":", "=?utf-8?q?", "=?a?q?x", "=?utf-8?q?x?= ", "[a]", "[", "re:",
		"; a*0=", "; a=(", " (", "<!--", "</", "<style>", "é ", "éabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz", "--b\n", "--", "\n--", "\n--b"}
	for name, f := range parsers {
		for _, piece := range pieces {
			small := []byte(strings.Repeat(piece, 4000/len(piece)))
			large := []byte(strings.Repeat(piece, 16*4000/len(piece)))
			ratio := 0.0
			for range 5 {
				wall, cpu := fastest(f, large)
				wallSmall, cpuSmall := fastest(f, small)
				// A busy machine spoils the one clock, a coarse one the other.
				ratio = min(times(wall, wallSmall), times(cpu, cpuSmall))
				if ratio <= 180 {
					break
				}
			}
			if ratio > 180 {
				t.Errorf("%s of %q: 16 times the input takes %.0f times as long", name, piece, ratio)
			}
		}
	}
}

func times(large, small time.Duration) float64 {
	return large.Seconds() / max(small, 5*time.Microsecond).Seconds()
}

// fastest is the least time that f took of some runs, by the clock and of the
// processor.
func fastest(f func([]byte), in []byte) (wall, cpu time.Duration) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	wall, cpu = time.Hour, time.Hour
	for range 4 {
		start, used := time.Now(), threadTime()
		f(in)
		wall, cpu = min(wall, time.Since(start)), min(cpu, threadTime()-used)
	}
	return wall, cpu
}

// threadTime is the processor time of this thread.
func threadTime() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts); err != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}

func FuzzAddress(f *testing.F) {
	for _, s := range corpus {
		f.Add([]byte(s.msg))
	}
	f.Add([]byte("g: a@b, (c \\) <@r:\"x\"@[1]>; ;,"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		list := ParseAddresses(raw, 50)
		depth := 0
		for _, a := range list {
			switch a.Kind {
			case AddressGroupStart:
				depth++
			case AddressGroupEnd:
				depth--
			}
			if depth < 0 || depth > 1 {
				t.Fatal("groups are not paired")
			}
		}
		if depth != 0 {
			t.Fatal("group is open at the end")
		}
		p := addressParser{left: MaxAddresses}
		wire := p.appendWire([]byte("("), raw)
		checkWire(t, append(wire, ')'))
	})
}
