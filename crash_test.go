package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
)

var crashRounds = flag.Int("crash.rounds", 100, "rounds of TestKill")

// A ledger holds what clients were told and what outside programs made
// durable, across all kills.
type ledger struct {
	mu        sync.Mutex
	validity  uint32
	told      map[imap.UID][32]byte // bytes that a UID named; never forgotten
	acked     map[imap.UID]bool     // APPENDs answered OK
	delivered map[[32]byte]bool     // files whose rename into new/ returned
	flagged   map[imap.UID]flagFact
	expunging map[imap.UID]bool // UID EXPUNGE was sent
	expunged  map[imap.UID]bool // and answered OK
	maxUID    imap.UID
}

// flagFact is what STORE said of \Flagged: acked if nothing is under way.
type flagFact struct{ value, pending, isPending bool }

func newLedger() *ledger {
	return &ledger{
		told: map[imap.UID][32]byte{}, acked: map[imap.UID]bool{}, delivered: map[[32]byte]bool{},
		flagged: map[imap.UID]flagFact{}, expunging: map[imap.UID]bool{}, expunged: map[imap.UID]bool{},
	}
}

// TestKill kills the server with SIGKILL at random moments under deliveries,
// APPENDs, STOREs and expunges, and holds what is there afterwards against the
// ledger (L1 to L5 of the oracle; power loss is another test's).
func TestKill(t *testing.T) {
	srv := newTestServer(t)
	led := newLedger()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	for round := range *crashRounds {
		srv.start(t)
		led.verify(t, srv, round)
		if t.Failed() {
			return
		}
		if round%10 == 9 {
			led.empty(t, srv)
		}
		var wg sync.WaitGroup
		ctx, cancel := context.WithCancel(t.Context())
		for k := range 2 {
			c := srv.mustDial(t)
			wg.Go(func() { led.appendLoop(ctx, c, round*10+k) })
		}
		c := srv.mustDial(t)
		wg.Go(func() { led.storeLoop(ctx, c, rand.New(rand.NewPCG(seed, uint64(round)))) })
		wg.Go(func() { led.deliverLoop(ctx, srv, round) })
		pause := time.NewTimer(time.Duration(5+rng.IntN(150)) * time.Millisecond)
		<-pause.C
		srv.signal(t, syscall.SIGKILL)
		cancel()
		wg.Wait()
	}
	srv.start(t)
	led.verify(t, srv, *crashRounds)
	srv.signal(t, syscall.SIGTERM)
	t.Logf("%d UIDs told, %d APPENDs acknowledged, %d deliveries, %d expunged", len(led.told), len(led.acked), len(led.delivered), len(led.expunged))
	if len(led.acked) == 0 || len(led.delivered) == 0 {
		t.Error("the load never got anything done")
	}
}

func crashMessage(kind string, n, k int) []byte {
	return fmt.Appendf(nil, "From: crash@example.org\nSubject: %s %d\nMessage-ID: <%s.%d.%d@example.org>\n\nBody %s %d %d.\n", kind, n, kind, n, k, kind, n, k)
}

// served gives the hash of raw as IMAP serves it.
func served(raw []byte) [32]byte {
	return sha256.Sum256(bytes.ReplaceAll(raw, []byte("\n"), []byte("\r\n")))
}

func (l *ledger) appendLoop(ctx context.Context, c *imapclient.Client, n int) {
	defer c.Close()
	for k := 0; ctx.Err() == nil && k < 500; k++ {
		raw := bytes.ReplaceAll(crashMessage("append", n, k), []byte("\n"), []byte("\r\n"))
		cmd := c.Append("INBOX", int64(len(raw)), nil)
		if _, err := cmd.Write(raw); err != nil {
			return
		}
		if err := cmd.Close(); err != nil {
			return
		}
		data, err := cmd.Wait()
		if err != nil || data.UID == 0 {
			return
		}
		l.mu.Lock()
		l.acked[data.UID] = true
		l.told[data.UID] = sha256.Sum256(raw)
		l.maxUID = max(l.maxUID, data.UID)
		l.mu.Unlock()
	}
}

func (l *ledger) storeLoop(ctx context.Context, c *imapclient.Client, rng *rand.Rand) {
	defer c.Close()
	if _, err := c.Select("INBOX", nil).Wait(); err != nil {
		return
	}
	for k := 0; ctx.Err() == nil && k < 500; k++ {
		uid, ok := l.pick(rng)
		if !ok {
			if err := c.Noop().Wait(); err != nil {
				return
			}
			continue
		}
		if rng.IntN(8) == 0 {
			if !l.expunge(c, uid) {
				return
			}
			continue
		}
		on := rng.IntN(2) == 0
		l.mu.Lock()
		f := l.flagged[uid]
		f.pending, f.isPending = on, true
		l.flagged[uid] = f
		l.mu.Unlock()
		op := imap.StoreFlagsAdd
		if !on {
			op = imap.StoreFlagsDel
		}
		if err := c.Store(imap.UIDSetNum(uid), &imap.StoreFlags{Op: op, Silent: true, Flags: []imap.Flag{imap.FlagFlagged}}, nil).Close(); err != nil {
			return
		}
		l.mu.Lock()
		l.flagged[uid] = flagFact{value: on}
		l.mu.Unlock()
	}
}

// pick gives a UID that is known, and not being expunged.
func (l *ledger) pick(rng *rand.Rand) (imap.UID, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.maxUID == 0 {
		return 0, false
	}
	for range 20 {
		uid := imap.UID(rng.Uint32N(uint32(l.maxUID))) + 1
		if _, ok := l.told[uid]; ok && !l.expunging[uid] {
			return uid, true
		}
	}
	return 0, false
}

func (l *ledger) expunge(c *imapclient.Client, uid imap.UID) bool {
	set := imap.UIDSetNum(uid)
	l.mu.Lock()
	l.expunging[uid] = true
	l.mu.Unlock()
	if c.Store(set, &imap.StoreFlags{Op: imap.StoreFlagsAdd, Silent: true, Flags: []imap.Flag{imap.FlagDeleted}}, nil).Close() != nil {
		return false
	}
	if c.UIDExpunge(set).Close() != nil {
		return false
	}
	l.mu.Lock()
	l.expunged[uid] = true
	l.mu.Unlock()
	return true
}

// empty expunges what was told, so that a round costs what it does and not
// what all before it did.
func (l *ledger) empty(t *testing.T, srv *testServer) {
	t.Helper()
	c := srv.mustDial(t)
	defer c.Close()
	if _, err := c.Select("INBOX", nil).Wait(); err != nil {
		t.Fatal(err)
	}
	var all imap.UIDSet
	for uid := range l.told {
		if !l.expunged[uid] {
			all.AddNum(uid)
			l.expunging[uid] = true
		}
	}
	if len(all) == 0 {
		return
	}
	if err := c.Store(all, &imap.StoreFlags{Op: imap.StoreFlagsAdd, Silent: true, Flags: []imap.Flag{imap.FlagDeleted}}, nil).Close(); err != nil {
		t.Fatal(err)
	}
	if err := c.UIDExpunge(all).Close(); err != nil {
		t.Fatal(err)
	}
	for uid := range l.told {
		l.expunged[uid] = true
	}
}

// deliverLoop drops files into new/ as an MTA does, with its own fsyncs left
// out: SIGKILL keeps the page cache.
func (l *ledger) deliverLoop(ctx context.Context, srv *testServer, round int) {
	tick := time.NewTicker(4 * time.Millisecond)
	defer tick.Stop()
	for k := 0; k < 500; k++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		raw := crashMessage("deliver", round, k)
		base := fmt.Sprintf("%d.V%dI%d.example", time.Now().Unix(), round, k)
		tmp := filepath.Join(srv.maildir, "tmp", base)
		if os.WriteFile(tmp, raw, 0o600) != nil {
			return
		}
		if k%2 == 0 {
			if os.Link(tmp, filepath.Join(srv.maildir, "new", base)) != nil {
				return
			}
			os.Remove(tmp)
		} else if os.Rename(tmp, filepath.Join(srv.maildir, "new", base)) != nil {
			return
		}
		l.mu.Lock()
		l.delivered[served(raw)] = true
		l.mu.Unlock()
	}
}

// verify holds the mailbox against the ledger and takes up what it tells.
func (l *ledger) verify(t *testing.T, srv *testServer, round int) {
	t.Helper()
	c := srv.mustDial(t)
	defer c.Close()
	sel, err := c.Select("INBOX", nil).Wait()
	if err != nil {
		t.Fatalf("round %d: SELECT: %v", round, err)
	}
	if l.validity == 0 {
		l.validity = sel.UIDValidity
	}
	if sel.UIDValidity != l.validity {
		t.Errorf("round %d: UIDVALIDITY was %d, is %d", round, l.validity, sel.UIDValidity)
	}
	if sel.UIDNext <= l.maxUID {
		t.Errorf("round %d: UIDNEXT %d is not above %d, which was told", round, sel.UIDNext, l.maxUID)
	}
	section := &imap.FetchItemBodySection{Peek: true}
	msgs, err := c.Fetch(imap.UIDSet{imap.UIDRange{Start: 1}}, &imap.FetchOptions{UID: true, Flags: true, BodySection: []*imap.FetchItemBodySection{section}}).Collect()
	if err != nil {
		t.Fatalf("round %d: FETCH: %v", round, err)
	}
	present := map[imap.UID]bool{}
	count := map[[32]byte]int{}
	for _, m := range msgs {
		present[m.UID] = true
		sum := sha256.Sum256(m.FindBodySection(section))
		count[sum]++
		l.checkMessage(t, round, m.UID, sum, hasFlag(m.Flags, imap.FlagFlagged))
	}
	for uid := range l.told {
		if !present[uid] && !l.expunging[uid] {
			t.Errorf("round %d: UID %d was told and is gone", round, uid)
		}
	}
	for uid := range l.expunged {
		if present[uid] {
			t.Errorf("round %d: UID %d was expunged and is back", round, uid)
		}
	}
	gone := map[[32]byte]bool{}
	for uid := range l.expunging {
		gone[l.told[uid]] = true
	}
	for sum := range l.delivered {
		if n := count[sum]; n != 1 && !(n == 0 && gone[sum]) {
			t.Errorf("round %d: a delivered message is there %d times", round, n)
		}
	}
}

func (l *ledger) checkMessage(t *testing.T, round int, uid imap.UID, sum [32]byte, flagged bool) {
	t.Helper()
	if was, ok := l.told[uid]; ok && was != sum {
		t.Errorf("round %d: UID %d names other bytes than before", round, uid)
	}
	l.told[uid] = sum
	l.maxUID = max(l.maxUID, uid)
	if f, ok := l.flagged[uid]; ok {
		if flagged != f.value && !(f.isPending && flagged == f.pending) {
			t.Errorf("round %d: UID %d: \\Flagged is %v, acknowledged was %v", round, uid, flagged, f.value)
		}
	}
	l.flagged[uid] = flagFact{value: flagged}
}

func hasFlag(flags []imap.Flag, want imap.Flag) bool {
	for _, f := range flags {
		if f == want {
			return true
		}
	}
	return false
}
