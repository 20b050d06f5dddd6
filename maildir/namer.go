package maildir

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A Namer makes bases that no other program and no other moment makes (rule
// N4): <sec>.M<usec>P<pid>Q<count>R<16 hex>.<host>. Their (sec, usec) strictly
// increase, so the order of names is the order in which they were made, also
// while the clock goes back. It is safe for concurrent use.
type Namer struct {
	now    func() time.Time
	random func() uint64
	pid    int
	host   string

	mu    sync.Mutex // guards below
	last  int64      // microseconds since 1970
	count uint64
}

// hostMax bounds the host in a name, so that all stays below 200 octets.
const hostMax = 64

// NewNamer makes a Namer for this process. now is the clock and random gives
// 64 random bits; nil stands for the real ones.
func NewNamer(host string, now func() time.Time, random func() uint64) *Namer {
	if now == nil {
		now = time.Now
	}
	if random == nil {
		random = randomBits
	}
	return &Namer{now: now, random: random, pid: os.Getpid(), host: cleanHost(host)}
}

func randomBits() uint64 {
	var b [8]byte
	rand.Read(b[:]) // never fails
	return binary.LittleEndian.Uint64(b[:])
}

// cleanHost writes '/' and ':' as other Maildir writers do, and leaves out
// what would end the base, a field or a line.
func cleanHost(host string) string {
	var b strings.Builder
	for i := range len(host) {
		switch c := host[i]; {
		case c == '/':
			b.WriteString(`\057`)
		case c == ':':
			b.WriteString(`\072`)
		case c == ',' || c == ';' || c == '!' || c <= ' ' || c >= 0x7f:
		default:
			b.WriteByte(c)
		}
		if b.Len() >= hostMax {
			break
		}
	}
	if b.Len() == 0 {
		return "localhost"
	}
	return b.String()
}

// Unique is a new base without fields.
func (g *Namer) Unique() string {
	g.mu.Lock()
	g.last = max(g.last+1, g.now().UnixMicro(), 0)
	g.count++
	usec, count := g.last, g.count
	g.mu.Unlock()
	return fmt.Sprintf("%d.M%06dP%dQ%dR%016x.%s", usec/1e6, usec%1e6, g.pid, count, g.random(), g.host)
}

// Base is a new base with the size of the file and its size as served, each
// left out if negative.
func (g *Namer) Base(size, virtual int64) string {
	return withSizes(g.Unique(), size, virtual)
}

func withSizes(unique string, size, virtual int64) string {
	if size >= 0 {
		unique += ",S=" + strconv.FormatInt(size, 10)
	}
	if virtual >= 0 {
		unique += ",W=" + strconv.FormatInt(virtual, 10)
	}
	return unique
}

// Copy is a new base for the same bytes as old (rule R14): ,U= and ,FMD5= of
// synchronisers are left out, since two files with one of those stop them;
// sizes are as given (negative: none), fields that are not known stay.
func (g *Namer) Copy(old []byte, size, virtual int64) string {
	name := withSizes(g.Unique(), size, virtual)
	_, fields, _ := bytes.Cut(old, []byte(","))
	for field := range bytes.SplitSeq(fields, []byte(",")) {
		switch {
		case len(field) == 0, bytes.HasPrefix(field, []byte("U=")), bytes.HasPrefix(field, []byte("FMD5=")),
			bytes.HasPrefix(field, []byte("S=")), bytes.HasPrefix(field, []byte("W=")):
		case len(name)+1+len(field) > copyMax:
			return name
		default:
			name += "," + string(field)
		}
	}
	return name
}

// copyMax leaves room for the info behind a base.
const copyMax = NameMax - 50
