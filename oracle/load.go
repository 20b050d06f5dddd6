package oracle

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
)

// A Load is what clients do until the server dies under them.
type Load struct {
	Server  *Server
	Ledger  *Ledger
	Boxes   []string
	Workers int
	Large   int // octets of the message that is appended now and then; 0: none
	Most    int // messages a mailbox should have at most
}

// runs counts the runs of all loads, so that no two messages are the same.
var runs atomic.Int64

// message makes a message that is like no other.
func message(kind string, size int, n ...int) []byte {
	id := strings.Trim(strings.ReplaceAll(fmt.Sprint(n), " ", "."), "[]")
	b := fmt.Appendf(nil, "From: %s@example.org\r\nSubject: %s %s\r\nMessage-ID: <%s.%s@example.org>\r\n\r\nBody %s.\r\n", kind, kind, id, kind, id, id)
	if size > len(b) {
		b = append(b, bytes.Repeat([]byte("0123456789abcdefghijklmnopqrstuvwxyz 0123456789abcdefghijklm\r\n"), (size-len(b))/64+1)...)
	}
	return b
}

// A worker is one client. It uses the messages that are its own.
type worker struct {
	load *Load
	c    *Client
	rng  *rand.Rand
	id   [2]int
	n    int
	own  []Owned
	at   string // the selected mailbox
}

// Run starts the clients; they end when ctx does or the server is gone. It
// returns what unexpected answers they got.
func (l *Load) Run(ctx context.Context, seed uint64) error {
	run := int(runs.Add(1))
	errs := make(chan error, l.Workers)
	for k := range l.Workers {
		w := &worker{load: l, rng: rand.New(rand.NewPCG(seed, uint64(k))), id: [2]int{run, k}, own: l.Ledger.Own(k, l.Workers)}
		go func() { errs <- w.run(ctx) }()
	}
	var all []error
	for range l.Workers {
		all = append(all, <-errs)
	}
	return errors.Join(all...)
}

// run goes on after NO: the server is there.
func (w *worker) run(ctx context.Context) error {
	c, err := w.load.Server.Login()
	if err != nil {
		return nil // killed already
	}
	w.c = c
	defer c.Close()
	for ctx.Err() == nil {
		err := w.step()
		var no *errNo
		if errors.As(err, &no) {
			if strings.Contains(no.text, "SERVERBUG") || strings.Contains(no.text, " BAD ") {
				return err
			}
			continue
		}
		if err != nil {
			return nil
		}
	}
	return nil
}

func (w *worker) step() error {
	k := w.rng.IntN(16)
	if w.load.Most > 0 && len(w.own) > w.load.Most/w.load.Workers*len(w.load.Boxes) {
		k = 13 // too many: expunge
	}
	switch {
	case k < 4:
		return w.append(1)
	case k < 6:
		return w.append(3)
	case k < 10:
		return w.store()
	case k < 12:
		return w.copy(false)
	case k < 13:
		return w.copy(true)
	case k < 15:
		return w.expunge()
	}
	_, err := w.c.Do("NOOP")
	return err
}

func (w *worker) box() string { return w.load.Boxes[w.rng.IntN(len(w.load.Boxes))] }

func (w *worker) append(n int) error {
	box := w.box()
	var raws [][]byte
	var sums []Sum
	for range n {
		w.n++
		size := 0
		if w.load.Large > 0 && w.rng.IntN(40) == 0 {
			size = w.load.Large
		}
		raw := message("append", size, w.id[0], w.id[1], w.n)
		raws, sums = append(raws, raw), append(sums, Served(raw))
	}
	b := w.load.Ledger.Adding(box, true, sums...)
	uids, err := w.c.Append(box, w.rng.IntN(2) == 0, []string{"", `\Draft`, `Oracle`}[w.rng.IntN(3)], raws...)
	if err != nil {
		return err
	}
	w.load.Ledger.Done(b, uids)
	for i, uid := range uids {
		if i < len(sums) {
			w.own = append(w.own, Owned{box, uid, sums[i]})
		}
	}
	return nil
}

// take picks up to n own messages of one mailbox and selects it.
func (w *worker) take(n int) (box string, list []Owned, err error) {
	if len(w.own) == 0 {
		return "", nil, nil
	}
	box = w.own[w.rng.IntN(len(w.own))].Box
	for _, o := range w.own {
		if o.Box == box && len(list) < n && w.rng.IntN(3) > 0 {
			list = append(list, o)
		}
	}
	if box != w.at {
		w.at = ""
		if _, err := w.c.Do("SELECT %s", box); err != nil {
			return box, nil, err
		}
		w.at = box
	}
	return box, list, nil
}

func sumsOf(list []Owned) (sums []Sum, uids []uint32) {
	for _, o := range list {
		sums, uids = append(sums, o.Sum), append(uids, o.UID)
	}
	return sums, uids
}

func (w *worker) store() error {
	box, list, err := w.take(1 + w.rng.IntN(100))
	if err != nil || len(list) == 0 {
		return err
	}
	sums, uids := sumsOf(list)
	flag, sign := []string{`\Flagged`, `$Junk`}[w.rng.IntN(2)], []string{"-", "+"}[w.rng.IntN(2)]
	done := w.load.Ledger.Storing(box, flag, sign == "+", sums...)
	if _, err := w.c.Do("UID STORE %s %sFLAGS.SILENT (%s)", set(uids), sign, flag); err != nil {
		return err
	}
	done()
	return nil
}

// drop forgets messages.
func (w *worker) drop(list []Owned) {
	gone := map[Owned]bool{}
	for _, o := range list {
		gone[o] = true
	}
	kept := w.own[:0]
	for _, o := range w.own {
		if !gone[o] {
			kept = append(kept, o)
		}
	}
	w.own = kept
}

func (w *worker) expunge() error {
	box, list, err := w.take(1 + w.rng.IntN(30))
	if err != nil || len(list) == 0 {
		return err
	}
	sums, uids := sumsOf(list)
	w.drop(list)
	b := w.load.Ledger.Removing(box, sums...)
	if _, err := w.c.Do(`UID STORE %s +FLAGS.SILENT (\Deleted)`, set(uids)); err != nil {
		return err
	}
	if _, err := w.c.Do("UID EXPUNGE %s", set(uids)); err != nil {
		return err
	}
	w.load.Ledger.Done(b, nil)
	return nil
}

func (w *worker) copy(move bool) error {
	dest := w.box()
	box, list, err := w.take(1 + w.rng.IntN(100))
	if err != nil || box == dest {
		return err
	}
	kept := list[:0]
	for _, o := range list {
		if !w.load.Ledger.Has(dest, o.Sum) {
			kept = append(kept, o)
		}
	}
	if list = kept; len(list) == 0 {
		return nil
	}
	sums, uids := sumsOf(list)
	var b *batch
	verb := "COPY"
	if move {
		verb = "MOVE"
		w.drop(list)
		b = w.load.Ledger.Moving(box, dest, sums...)
	} else {
		b = w.load.Ledger.Adding(dest, true, sums...)
	}
	lines, err := w.c.Do("UID %s %s %s", verb, set(uids), dest)
	if err != nil {
		return err
	}
	from, to := copied(lines)
	if len(from) != len(uids) {
		return fmt.Errorf("%w: %s of %d messages told %d UIDs", errProtocol, verb, len(uids), len(from))
	}
	at := map[uint32]uint32{}
	for i, uid := range from {
		at[uid] = to[i]
	}
	placed := make([]uint32, len(uids))
	for i, uid := range uids {
		placed[i] = at[uid]
		w.own = append(w.own, Owned{dest, at[uid], sums[i]})
	}
	w.load.Ledger.Done(b, placed)
	return nil
}

// errProtocol is an answer that a server must not give.
var errProtocol = errors.New("oracle: protocol")
