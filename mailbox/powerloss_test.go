package mailbox

import (
	"context"
	"flag"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/emersion/go-imap/v2"

	"roost/disk"
	"roost/disk/disktest"
	"roost/maildir"
)

var (
	powerOps    = flag.Int("power.ops", 50, "commands of TestPowerLoss")
	powerSubset = flag.Int("power.subsets", 2, "crashes at each moment of TestPowerLoss")
	powerEvery  = flag.Int("power.every", 12, "TestPowerLoss crashes at one of so many calls")
	powerSeed   = flag.Uint64("power.seed", 1, "seed of TestPowerLoss")
)

// A powerRun is a workload on an account in memory.
type powerRun struct {
	t    *testing.T
	rng  *rand.Rand // of the workload
	mem  *disktest.Mem
	rec  *disktest.Recorder
	st   *Store
	a    *Account
	led  powerLedger
	next int
	crng *rand.Rand // of the crashes; led.mu guards it
}

// TestPowerLoss runs a mixed workload and looks, at moments between any two
// calls of the file system, at what a loss of power would leave there (F5).
func TestPowerLoss(t *testing.T) {
	p := &powerRun{
		t: t, rng: rand.New(rand.NewPCG(*powerSeed, 1)), crng: rand.New(rand.NewPCG(*powerSeed, 2)),
		mem: disktest.NewMem(), led: powerLedger{now: powerState{}},
	}
	if err := makeRoot(p.mem, testRoot, CreateAlways); err != nil {
		t.Fatal(err)
	}
	p.rec = disktest.Wrap(p.mem)
	p.open()
	p.rec.Before(func(c disktest.Call) {
		if slices.Contains(changing, c.Op) || c.Op == disktest.Mkdir || c.Op == disktest.Rmdir {
			p.moment(*powerEvery)
		}
	})
	for range *powerOps {
		p.step()
		p.moment(1)
		if t.Failed() {
			break
		}
	}
	p.rec.Before(nil)
	p.a.Release()
	if err := p.st.Close(); err != nil {
		t.Error(err)
	}
	t.Logf("seed %d: %d crashes", *powerSeed, p.led.nTaken)
}

// moment crashes copies of the disk, one time in so many.
func (p *powerRun) moment(one int) {
	l := &p.led
	l.mu.Lock()
	defer l.mu.Unlock()
	if p.t.Failed() || p.crng.IntN(one) != 0 {
		return
	}
	for range *powerSubset {
		l.nTaken++
		how := disktest.Survival(p.crng.IntN(4))
		if how > disktest.Ordered && p.crng.IntN(2) == 0 {
			how = disktest.Random
		}
		copied := p.mem.Clone()
		copied.Crash(p.crng, how)
		var fsys disk.FS = copied
		twice := p.crng.IntN(3) == 0
		if twice { // once more, while it recovers
			p.crashRecovery(copied)
		}
		for again := range 2 {
			found, err := readAccount(p.t, fsys)
			if err == nil {
				err = l.verify(found)
			}
			if err != nil {
				p.t.Errorf("seed %d, crash %d (kind %d, twice %v) in %q, load %d: %v", *powerSeed, l.nTaken, how, twice, l.op, again, err)
				return
			}
		}
	}
}

// crashRecovery opens the account and crashes at any call meanwhile.
func (p *powerRun) crashRecovery(mem *disktest.Mem) {
	rec := disktest.Wrap(mem)
	k := 1 + p.crng.IntN(60)
	seed := p.crng.Uint64()
	var n atomic.Int64
	rec.Before(func(c disktest.Call) {
		if slices.Contains(changing, c.Op) && n.Add(1) == int64(k) {
			mem.Crash(rand.New(rand.NewPCG(seed, 3)), disktest.Random)
		}
	})
	readAccount(p.t, rec) //nolint:errcheck // it is meant to fail
	rec.Before(nil)
}

func (p *powerRun) open() {
	var err error
	if p.st, err = NewStore(Options{FS: p.rec, Escape: "%"}); err != nil {
		p.t.Fatal(err)
	}
	if p.a, err = p.st.Open(p.t.Context(), User{Name: "alice", Path: testRoot}); err != nil {
		p.t.Fatal(err)
	}
	p.learn("INBOX")
}

// with opens a mailbox for a command.
func (p *powerRun) with(name string, do func(mb *Mailbox, v *View)) {
	p.t.Helper()
	mb, err := p.a.Mailbox(p.t.Context(), name)
	if err != nil {
		p.t.Fatalf("%s: %v", name, err)
	}
	defer mb.Release()
	v, err := mb.Open(p.t.Context(), false, &Barrier{})
	if err != nil {
		p.t.Fatalf("%s: %v", name, err)
	}
	defer v.Close()
	do(mb, v)
}

// learn notes what a client is told of a mailbox: from then on it must hold.
func (p *powerRun) learn(name string) {
	p.with(name, func(mb *Mailbox, v *View) {
		uids := map[string]imap.UID{}
		for n := SeqNum(1); int(n) <= v.Len(); n++ {
			c := v.Content(n)
			r, size, err := c.Reader()
			if err != nil {
				p.t.Fatalf("seed %d, after %q: %s: UID %d: %v", *powerSeed, p.led.op, name, v.UID(n), err)
			}
			b, err := io.ReadAll(io.NewSectionReader(r, 0, size))
			if err != nil {
				p.t.Fatal(err)
			}
			c.Close()
			uids[string(b)] = v.UID(n)
		}
		uidValidity, next, modSeq := mb.UIDValidity(), v.UIDNext(), v.HighestModSeq()
		if err := v.b.Wait(); err != nil {
			p.t.Fatal(err)
		}
		p.led.settle(func(s powerState) {
			box := s[name]
			if box == nil {
				box = &powerBox{msgs: map[string]powerMessage{}, told: map[imap.UID]string{}}
				s[name] = box
			}
			box.uidValidity, box.uidNext, box.modSeq = uidValidity, next, modSeq
			for body, m := range box.msgs {
				uid, ok := uids[body]
				if !ok || m.uid != 0 && m.uid != uid {
					p.t.Errorf("%s: %q is not what it was", name, body)
				}
				box.msgs[body] = powerMessage{uid, m.flags}
				box.told[uid] = body
			}
			if len(uids) != len(box.msgs) {
				p.t.Errorf("%s: %d messages, want %d", name, len(uids), len(box.msgs))
			}
		})
	})
}

func (p *powerRun) names() []string { return slices.Sorted(maps.Keys(p.led.now)) }

func (p *powerRun) pick() string {
	names := p.names()
	return names[p.rng.IntN(len(names))]
}

func (p *powerRun) body() string {
	p.next++
	return fmt.Sprintf("Subject: %d\n\nbody %d %s\n", p.next, p.next, strings.Repeat("x", 300*p.rng.IntN(3)))
}

// some picks messages of a mailbox: their numbers and bodies.
func (p *powerRun) some(v *View, box *powerBox) (set Seqs, bodies []string) {
	for n := SeqNum(1); int(n) <= v.Len(); n++ {
		if p.rng.IntN(3) == 0 {
			set = set.Add(n)
			bodies = append(bodies, box.told[v.UID(n)])
		}
	}
	return set, bodies
}

func (p *powerRun) step() {
	name := p.pick()
	switch k := p.rng.IntN(20); {
	case k < 3:
		p.add(name, 1)
	case k < 5:
		p.add(name, 2+p.rng.IntN(3))
	case k < 8:
		p.deliver(name)
	case k < 11:
		p.storeFlags(name)
	case k < 12:
		p.outsideFlag(name)
	case k < 13:
		p.outsideBase(name)
	case k < 15:
		p.expunge(name)
	case k < 18:
		p.copyOrMove(name, p.pick(), k == 17)
	case k < 19:
		p.tree()
	default:
		p.a.Release()
		if err := p.st.Close(); err != nil {
			p.t.Error(err)
		}
		p.open()
	}
}

func (p *powerRun) add(name string, n int) {
	p.with(name, func(mb *Mailbox, v *View) {
		var texts []string
		p.led.begin(fmt.Sprintf("append %d to %s", n, name), false, func(s powerState) {
			for range n {
				body := p.body()
				s[name].msgs[body] = powerMessage{flags: "(S+Work)"}
				texts = append(texts, strings.ReplaceAll(body, "\n", "\r\n"))
			}
		})
		if _, err := appendTo(mb, AppendMeta{Flags: Seen, Keywords: []string{"Work"}}, v.b, texts...); err != nil {
			p.t.Fatal(err)
		}
		if err := v.b.Wait(); err != nil {
			p.t.Fatal(err)
		}
	})
	p.led.end()
	p.learn(name)
}

// place opens cur/ or new/ of a mailbox for the hands of others.
func (p *powerRun) place(name, place string) disk.Dir {
	dir, err := openPath(p.mem, nil, testRoot, "")
	if err == nil && name != "INBOX" {
		dir, err = dir.OpenDir("." + name)
	}
	if err == nil {
		dir, err = dir.OpenDir(place)
	}
	if err != nil {
		p.t.Fatal(err)
	}
	return dir
}

// deliver is what Postfix does; with the sync of the directory that it leaves
// out, so that the message must not be lost.
func (p *powerRun) deliver(name string) {
	body := p.body()
	tmp, fresh := p.place(name, "tmp"), p.place(name, "new")
	base := fmt.Sprintf("%d.V1I%d.host", 1000+p.next, p.next)
	f, err := tmp.OpenFile(base, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		p.t.Fatal(err)
	}
	_, err = io.WriteString(f, body)
	for _, err := range []error{err, f.Sync(), f.Close()} {
		if err != nil {
			p.t.Fatal(err)
		}
	}
	change := func(s powerState) { s[name].msgs[body] = powerMessage{} }
	p.led.begin("delivery to "+name, false, change)
	if p.rng.IntN(2) == 0 {
		err = tmp.Rename(base, fresh, base)
	} else if err = tmp.Link(base, fresh, base); err == nil {
		err = tmp.Unlink(base)
	}
	if err != nil {
		p.t.Fatal(err)
	}
	if err := fresh.Sync(); err != nil {
		p.t.Fatal(err)
	}
	p.led.end()
	if p.rng.IntN(3) > 0 {
		p.learn(name)
	}
}

func (p *powerRun) storeFlags(name string) {
	p.learn(name)
	p.with(name, func(mb *Mailbox, v *View) {
		set, texts := p.some(v, p.led.now[name])
		if len(set) == 0 {
			return
		}
		op := StoreOp{Mode: StoreMode(p.rng.IntN(3)), Flags: Flags(1<<p.rng.IntN(5)) &^ Deleted}
		if p.rng.IntN(3) == 0 {
			op.Keywords = []string{[]string{"Work", "$Junk", "$Forwarded"}[p.rng.IntN(3)]}
		}
		p.led.begin(fmt.Sprintf("store %v %v of %s", op, set, name), true, func(s powerState) {
			for _, body := range texts {
				m := s[name].msgs[body]
				m.flags = flagsAfter(m.flags, op)
				s[name].msgs[body] = m
			}
		})
		if _, err := v.Store(p.t.Context(), set, op); err != nil {
			p.t.Fatal(err)
		}
		if err := v.b.Wait(); err != nil {
			p.t.Fatal(err)
		}
		p.led.end()
	})
}

// flagsAfter is STORE on flags in the form of flagText.
func flagsAfter(text string, op StoreOp) string {
	have := flagSet(text)
	if op.Mode == StoreReplace {
		clear(have)
	}
	for i, c := range "AFDSX" {
		if op.Flags&(1<<i) != 0 {
			have[string(c)] = op.Mode != StoreRemove
		}
	}
	for _, w := range op.Keywords {
		have["+"+w] = op.Mode != StoreRemove
	}
	out := ""
	for _, c := range "AFDSX" {
		if have[string(c)] {
			out += string(c)
		}
	}
	for _, w := range []string{"$Forwarded", "$Junk", "Work"} {
		if have["+"+w] {
			out += "+" + w
		}
	}
	if out == "" {
		return ""
	}
	return "(" + out + ")"
}

// outsideFlag renames a file to have \Flagged, as mutt does, and lets roost
// see it.
func (p *powerRun) outsideFlag(name string) {
	p.outside(name, "flag", func(n maildir.Name) string {
		bit, _ := maildir.ParseName([]byte("x:2,F"), maildir.Colon)
		return n.With(n.Letters|bit.Letters, maildir.Colon)
	}, func(m powerMessage) powerMessage {
		m.flags = flagsAfter(m.flags, StoreOp{Mode: StoreAdd, Flags: Flagged})
		return m
	})
}

// outsideBase adds ,U= to a name, as mbsync does.
func (p *powerRun) outsideBase(name string) {
	p.outside(name, "base", func(n maildir.Name) string {
		base := strings.TrimSuffix(string(n.Base), ",U=1") + ",U=1"
		return base + string(n.Info)
	}, func(m powerMessage) powerMessage { return m })
}

func (p *powerRun) outside(name, what string, rename func(maildir.Name) string, change func(powerMessage) powerMessage) {
	p.learn(name)
	cur := p.place(name, "cur")
	var files []string
	err := cur.ReadDir(func(e disk.Entry) bool {
		files = append(files, string(e.Name))
		return true
	})
	if err != nil {
		p.t.Fatal(err)
	}
	if len(files) == 0 {
		return
	}
	slices.Sort(files)
	file := files[p.rng.IntN(len(files))]
	f, err := cur.Open(file)
	if err != nil {
		return // roost has just renamed it
	}
	info, _ := f.Stat()
	b, err := io.ReadAll(io.NewSectionReader(f, 0, info.Size))
	f.Close()
	if err != nil {
		p.t.Fatal(err)
	}
	body := strings.ReplaceAll(string(b), "\r\n", "\n")
	n, err := maildir.ParseName([]byte(file), maildir.Colon)
	if err != nil {
		p.t.Fatal(err)
	}
	if _, ok := p.led.now[name].msgs[body]; !ok {
		return // expunged, and about to be removed
	}
	p.led.begin("outside "+what+" in "+name, true, func(s powerState) {
		s[name].msgs[body] = change(s[name].msgs[body])
	})
	if cur.Rename(file, cur, rename(n)) != nil {
		p.led.mu.Lock()
		p.led.after = nil
		p.led.mu.Unlock()
		return
	}
	if err := cur.Sync(); err != nil {
		p.t.Fatal(err)
	}
	p.with(name, func(mb *Mailbox, v *View) {
		v.note()
		if err := v.b.Wait(); err != nil {
			p.t.Fatal(err)
		}
	})
	p.led.end()
	p.learn(name)
}

func (p *powerRun) expunge(name string) {
	p.learn(name)
	p.with(name, func(mb *Mailbox, v *View) {
		set, texts := p.some(v, p.led.now[name])
		if len(set) == 0 {
			return
		}
		p.led.begin("store deleted in "+name, true, func(s powerState) {
			for _, body := range texts {
				m := s[name].msgs[body]
				m.flags = flagsAfter(m.flags, StoreOp{Mode: StoreAdd, Flags: Deleted})
				s[name].msgs[body] = m
			}
		})
		if _, err := v.Store(p.t.Context(), set, StoreOp{Mode: StoreAdd, Flags: Deleted}); err != nil {
			p.t.Fatal(err)
		}
		if err := v.b.Wait(); err != nil {
			p.t.Fatal(err)
		}
		p.led.end()
		p.led.begin(fmt.Sprintf("expunge %v of %s", set, name), true, func(s powerState) {
			for _, body := range texts {
				delete(s[name].msgs, body)
			}
		})
		p.led.mu.Lock()
		p.led.parts = false // gone is gone
		p.led.mu.Unlock()
		if _, err := v.Expunge(p.t.Context(), set); err != nil {
			p.t.Fatal(err)
		}
		if _, err := v.Sync(SyncEverything); err != nil {
			p.t.Fatal(err)
		}
		if err := v.b.Wait(); err != nil {
			p.t.Fatal(err)
		}
		p.led.end()
	})
}

func (p *powerRun) copyOrMove(from, to string, move bool) {
	if from == to {
		return
	}
	p.learn(from)
	p.learn(to)
	p.with(from, func(mb *Mailbox, v *View) {
		all, texts := p.some(v, p.led.now[from])
		var set Seqs
		var moved []string
		i := 0
		for n := range all.All() {
			if _, there := p.led.now[to].msgs[texts[i]]; !there {
				set = set.Add(n)
				moved = append(moved, texts[i])
			}
			i++
		}
		if len(set) == 0 {
			return
		}
		dest, err := p.a.Mailbox(p.t.Context(), to)
		if err != nil {
			p.t.Fatal(err)
		}
		defer dest.Release()
		p.led.begin(fmt.Sprintf("copy (move %v) %v of %s to %s", move, set, from, to), move, func(s powerState) {
			for _, body := range moved {
				s[to].msgs[body] = powerMessage{flags: s[from].msgs[body].flags}
				if move {
					delete(s[from].msgs, body)
				}
			}
		})
		do := v.Copy
		if move {
			do = v.Move
		}
		if _, err := do(context.Background(), set, dest); err != nil {
			p.t.Fatal(err)
		}
		if _, err := v.Sync(SyncEverything); err != nil {
			p.t.Fatal(err)
		}
		if err := v.b.Wait(); err != nil {
			p.t.Fatal(err)
		}
		p.led.end()
	})
	p.learn(to)
}

// tree creates, deletes or renames a mailbox.
func (p *powerRun) tree() {
	names := slices.DeleteFunc(p.names(), func(n string) bool { return n == "INBOX" })
	fresh := fmt.Sprintf("Box%d", p.next)
	p.next++
	var err error
	switch {
	case len(names) < 2:
		p.led.begin("create "+fresh, false, func(s powerState) {
			s[fresh] = &powerBox{msgs: map[string]powerMessage{}, told: map[imap.UID]string{}}
		})
		_, err = p.a.Create(p.t.Context(), fresh, nil)
	case p.rng.IntN(3) == 0:
		p.led.begin("delete "+names[0], false, func(s powerState) { delete(s, names[0]) })
		err = p.a.Delete(p.t.Context(), names[0])
	default:
		p.learn(names[0])
		p.led.begin("rename "+names[0]+" to "+fresh, false, func(s powerState) {
			s[fresh] = s[names[0]]
			delete(s, names[0])
		})
		p.led.mu.Lock()
		p.led.moved = [2]string{names[0], fresh}
		p.led.mu.Unlock()
		err = p.a.Rename(p.t.Context(), names[0], fresh)
	}
	if err != nil {
		p.t.Fatal(err)
	}
	p.led.mu.Lock()
	p.led.moved = [2]string{}
	p.led.mu.Unlock()
	p.led.end()
	p.learn(p.pick())
}
