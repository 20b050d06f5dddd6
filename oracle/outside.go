package oracle

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// An Outside is the other programs that work on a Maildir.
type Outside struct {
	Maildir string
	Ledger  *Ledger
	Durable bool          // deliveries sync the directory too: what is in the ledger survives a loss of power
	Pause   time.Duration // between two actions of each program
	Saw     *witness      // learns what is delivered; may be nil
	gate    sync.RWMutex  // locked by who wants none of them in the middle of something
	run     int
}

// Run lets all programs work on INBOX until ctx ends.
func (o *Outside) Run(ctx context.Context, seed uint64) {
	o.run++
	var wg sync.WaitGroup
	for k, program := range []func(*rand.Rand, int){o.postfix, o.exim, o.mutt, o.mbsync, o.notmuch} {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(seed, uint64(100+k)))
			tick := time.NewTicker(o.Pause)
			defer tick.Stop()
			for n := 0; ; n++ {
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
					o.gate.RLock()
					if ctx.Err() == nil {
						program(rng, n)
					}
					o.gate.RUnlock()
				}
			}
		})
	}
	wg.Wait()
}

func (o *Outside) path(parts ...string) string {
	return filepath.Join(append([]string{o.Maildir}, parts...)...)
}

// write makes the file of a delivery in tmp/.
func (o *Outside) write(kind string, n int) (base string, s Sum, ok bool) {
	raw := []byte(strings.ReplaceAll(string(message(kind, 0, o.run, n)), "\r\n", "\n"))
	base = fmt.Sprintf("%d.V%xI%dM%d.%s", time.Now().Unix(), o.run, n, n, kind)
	f, err := os.OpenFile(o.path("tmp", base), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return "", s, false
	}
	_, err = f.Write(raw)
	if err == nil && o.Durable {
		err = f.Sync()
	}
	f.Close()
	if err != nil {
		os.Remove(o.path("tmp", base))
		return "", s, false
	}
	o.Saw.delivered(base, Served(raw))
	return base, Served(raw), true
}

// delivered enters a message into the ledger once it is durable.
func (o *Outside) delivered(b *batch) {
	if o.Durable {
		d, err := os.Open(o.path("new"))
		if err != nil {
			return
		}
		defer d.Close()
		if d.Sync() != nil {
			return
		}
	}
	o.Ledger.Done(b, nil)
	o.Ledger.mu.Lock()
	o.Ledger.Delivered++
	o.Ledger.mu.Unlock()
}

// postfix delivers by link and unlink.
func (o *Outside) postfix(_ *rand.Rand, n int) {
	base, s, ok := o.write("postfix", n)
	if !ok {
		return
	}
	b := o.Ledger.Adding("INBOX", true, s)
	err := os.Link(o.path("tmp", base), o.path("new", base))
	os.Remove(o.path("tmp", base))
	if err == nil {
		o.delivered(b)
	}
}

// exim delivers by rename, with a size in the name.
func (o *Outside) exim(_ *rand.Rand, n int) {
	base, s, ok := o.write("exim", n)
	if !ok {
		return
	}
	b := o.Ledger.Adding("INBOX", true, s)
	name := base
	if in, err := os.Stat(o.path("tmp", base)); err == nil {
		name = fmt.Sprintf("%s,S=%d", base, in.Size())
	}
	if os.Rename(o.path("tmp", base), o.path("new", name)) == nil {
		o.delivered(b)
	}
}

// pick gives a random name in a directory.
func (o *Outside) pick(rng *rand.Rand, place string) (string, bool) {
	d, err := os.Open(o.path(place))
	if err != nil {
		return "", false
	}
	defer d.Close()
	names, _ := d.Readdirnames(-1)
	if len(names) == 0 {
		return "", false
	}
	return names[rng.IntN(len(names))], true
}

// toggled changes one flag letter of a name.
func toggled(name string, letter byte) string {
	base, info, _ := strings.Cut(name, ":2,")
	letters := ""
	for _, c := range "DFPRST" {
		if strings.ContainsRune(info, c) != (c == rune(letter)) {
			letters += string(c)
		}
	}
	rest := strings.TrimLeft(info, "DFPRST")
	return base + ":2," + letters + rest
}

// mutt toggles \Seen and \Answered, which no client of ours touches, and marks
// messages new by moving them back to new/.
func (o *Outside) mutt(rng *rand.Rand, n int) {
	name, ok := o.pick(rng, "cur")
	if !ok {
		return
	}
	if n%5 == 4 {
		os.Rename(o.path("cur", name), o.path("new", name))
		return
	}
	os.Rename(o.path("cur", name), o.path("cur", toggled(name, "SR"[rng.IntN(2)])))
}

// mbsync writes its UID into names.
func (o *Outside) mbsync(rng *rand.Rand, n int) {
	name, ok := o.pick(rng, "cur")
	if !ok || strings.Contains(name, ",U=") {
		return
	}
	base, info, _ := strings.Cut(name, ":")
	os.Rename(o.path("cur", name), o.path("cur", fmt.Sprintf("%s,U=%d:%s", base, n+1, info)))
}

// notmuch moves new messages to cur/ when it has indexed them.
func (o *Outside) notmuch(rng *rand.Rand, _ int) {
	name, ok := o.pick(rng, "new")
	if !ok {
		return
	}
	to := name
	if !strings.Contains(name, ":2,") {
		to += ":2,"
	}
	os.Rename(o.path("new", name), o.path("cur", to))
}
