package oracle

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// A household is F18: one Maildir on which the real NeoMutt, notmuch and mbsync
// work, while mail arrives and a client uses IMAP. mbsync is there twice: as an
// IMAP client that keeps a copy, and as a program that keeps a copy of the
// Maildir itself, for which it puts its UIDs into the names of our files.
type household struct {
	s      *Server
	l      *Ledger
	dir    string // of the configurations and copies
	others *Outside
	seed   uint64
	began  time.Time

	trash int // messages that NeoMutt may remove
	saw   *witness

	runs [4]atomic.Int64 // of notmuch, NeoMutt, mbsync by IMAP, mbsync by files
}

// programs is F18.
func programs(r *Run) (string, error) {
	for _, name := range []string{"mbsync", "notmuch", "neomutt"} {
		if _, err := exec.LookPath(name); err != nil {
			return "", skipped("tools/crash/setup.sh installs what is missing", err)
		}
	}
	s, l, err := r.server("programs")
	if err != nil {
		return "", err
	}
	defer l.Close()
	defer s.Stop(sigkill)
	h := &household{
		s: s, l: l, dir: filepath.Join(r.Dir, "household"), seed: r.Seed,
		saw: newWitness(s.Maildir),
	}
	h.others = &Outside{Maildir: s.Maildir, Ledger: l, Pause: 150 * time.Millisecond, Saw: h.saw}
	if err := h.configure(); err != nil {
		return "", err
	}
	if err := s.Start(); err != nil {
		return "", err
	}
	if err := fill(s, l, "INBOX", 60); err != nil {
		return "", err
	}
	limit := 30 * time.Second
	if r.Full {
		limit = 10 * time.Minute
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	h.began = time.Now()
	errs := make(chan error, 6)
	for k, member := range []func(context.Context, *rand.Rand, int) error{h.notmuch, h.neomutt, h.mbsyncIMAP, h.mbsyncFiles, h.client, h.arrivals} {
		go func() {
			rng := rand.New(rand.NewPCG(h.seed, uint64(18+k)))
			for n := 0; ctx.Err() == nil; n++ {
				h.breathe(ctx, k != 3)
				if err := member(ctx, rng, n); err != nil && ctx.Err() == nil {
					errs <- err
					cancel()
					return
				}
			}
			errs <- nil
		}()
	}
	// The ledger looks while they work: a UID names what it named.
	for ctx.Err() == nil && err == nil {
		err = h.told()
		rest(500 * time.Millisecond)
	}
	for range 6 {
		err = errors.Join(err, <-errs)
	}
	if err != nil {
		return "", fmt.Errorf("%w\n%s", err, last(s.Log(), 3000))
	}
	sum := fmt.Sprintf("%d notmuch, %d NeoMutt, %d and %d mbsync, %d added, %d of them to be removed, %d more removed by NeoMutt itself",
		h.runs[0].Load(), h.runs[1].Load(), h.runs[2].Load(), h.runs[3].Load(), l.Acked, h.trash, h.saw.wrong)
	for k := range h.runs {
		if h.runs[k].Load() == 0 {
			return sum, fmt.Errorf("program %d never ran", k)
		}
	}
	if err := h.settle(); err != nil {
		return sum, err
	}
	return sum, errors.Join(outcome(s, l), s.ended())
}

// breathe waits while the household pauses: mbsync reads a Maildir again and
// again until it has been still for more than a second.
func (h *household) breathe(ctx context.Context, pauses bool) {
	const turn, work = 7 * time.Second, 4 * time.Second
	for pauses && ctx.Err() == nil && time.Since(h.began)%turn > work {
		rest(50 * time.Millisecond)
	}
}

// configure writes what the programs want to know.
func (h *household) configure() error {
	_, port, _ := strings.Cut(h.s.Addr, ":")
	for _, dir := range []string{"near", "copy"} {
		if err := os.MkdirAll(filepath.Join(h.dir, dir), 0o700); err != nil {
			return err
		}
	}
	for _, place := range []string{"cur", "new", "tmp"} {
		if err := os.MkdirAll(filepath.Join(h.s.Maildir, place), 0o700); err != nil {
			return err
		}
	}
	mail := filepath.Dir(h.s.Maildir)
	files := map[string]string{
		"mbsyncrc": fmt.Sprintf(`
IMAPAccount roost
Host 127.0.0.1
Port %[2]s
User u
Pass p
SSLType None
AuthMechs LOGIN

IMAPStore roost
Account roost

MaildirStore near
Path %[1]s/near/
Inbox %[1]s/near/INBOX
SubFolders Verbatim

MaildirStore ours
Inbox %[3]s/Maildir
SubFolders Maildir++

MaildirStore copy
Path %[1]s/copy/
Inbox %[1]s/copy/INBOX
SubFolders Verbatim

Channel imap
Far :roost:INBOX
Near :near:INBOX
Create Near
Expunge Both
Sync All
SyncState %[1]s/imap.state

Channel files
Far :ours:INBOX
Near :copy:INBOX
Create Near
Expunge Both
Sync All
SyncState %[1]s/files.state
`, h.dir, port, mail),
		"notmuch-config": fmt.Sprintf(`[database]
path=%s
[user]
name=U
primary_email=u@example.org
[new]
tags=unread;inbox
ignore=roost.index;roost.account;roost.cache;roost.index.new;dovecot-keywords;.uidvalidity;subscriptions;maildirsize
[maildir]
synchronize_flags=true
`, mail),
		"muttrc": fmt.Sprintf(`set mbox_type=Maildir
set folder="%[1]s"
set spoolfile="%[2]s"
set header_cache=""
set maildir_trash=no
set delete=yes
set quit=yes
set wait_key=no
set move=no
set confirmappend=no
set sleep_time=0
set mark_old=no
`, mail, h.s.Maildir),
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(h.dir, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// run runs a program for at most a minute.
func (h *household) run(ctx context.Context, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "HOME="+h.dir, "NOTMUCH_CONFIG="+filepath.Join(h.dir, "notmuch-config"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, last(string(out), 1500))
	}
	return string(out), nil
}

// notmuch finds new mail and tags some, which changes names.
func (h *household) notmuch(ctx context.Context, rng *rand.Rand, n int) error {
	if _, err := h.run(ctx, "notmuch", "new", "--quiet"); err != nil && !raced(err) {
		return err
	}
	change := [][]string{{"+flagged"}, {"-flagged"}, {"-unread"}, {"+unread"}, {"+replied"}, {"+work", "-inbox"}}[rng.IntN(6)]
	query := fmt.Sprintf("subject:%d", rng.IntN(60))
	if _, err := h.run(ctx, "notmuch", append(append([]string{"tag"}, change...), "--", query)...); err != nil && !raced(err) {
		return err
	}
	h.runs[0].Add(1)
	rest(200 * time.Millisecond)
	return nil
}

// neomutt flags a message, marks one, and removes those that are for it, which
// the ledger may miss from then on.
func (h *household) neomutt(ctx context.Context, rng *rand.Rand, n int) error {
	keys := "<delete-pattern>~s trash<enter>"
	keys += fmt.Sprintf("<jump>%d<enter><flag-message><jump>%d<enter><toggle-new><sync-mailbox><quit>", 1+rng.IntN(50), 1+rng.IntN(50))
	trace := filepath.Join(h.dir, "neomutt.trace")
	h.saw.learn()
	name, args := h.saw.command(trace, "neomutt", "-n", "-F", filepath.Join(h.dir, "muttrc"), "-f", h.s.Maildir, "-e", `push "`+keys+`"`)
	drawn, err := onTerminal(ctx, time.Minute, []string{"HOME=" + h.dir}, name, args...)
	if errors.Is(err, ErrSkipped) {
		return err
	}
	removed := h.saw.seen(trace)
	h.l.mu.Lock()
	for _, sum := range removed {
		if c := h.l.box("INBOX").copies[sum]; c != nil {
			c.min = 0
		}
	}
	h.l.mu.Unlock()
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("neomutt: %w: %q", err, drawn)
	}
	h.runs[1].Add(1)
	rest(300 * time.Millisecond)
	return nil
}

func (h *household) mbsyncIMAP(ctx context.Context, rng *rand.Rand, n int) error {
	if _, err := h.run(ctx, "mbsync", "-c", filepath.Join(h.dir, "mbsyncrc"), "imap"); err != nil {
		return err
	}
	h.runs[2].Add(1)
	// Its user changes flags too.
	near := filepath.Join(h.dir, "near", "INBOX", "cur")
	if list, err := os.ReadDir(near); err == nil && len(list) > 0 {
		name := list[rng.IntN(len(list))].Name()
		os.Rename(filepath.Join(near, name), filepath.Join(near, toggled(name, "FRS"[rng.IntN(3)])))
	}
	rest(100 * time.Millisecond)
	return nil
}

func (h *household) mbsyncFiles(ctx context.Context, rng *rand.Rand, n int) error {
	_, err := h.run(ctx, "mbsync", "-c", filepath.Join(h.dir, "mbsyncrc"), "files")
	if err != nil && !raced(err) {
		return err
	}
	h.runs[3].Add(1)
	rest(400 * time.Millisecond)
	return nil
}

// raced reports that a file was renamed under a program, of which it complains
// and does the rest next time.
func raced(err error) bool {
	return strings.Contains(err.Error(), "Maildir error") || strings.Contains(err.Error(), "No such file")
}

// client appends and sets a keyword by IMAP.
func (h *household) client(ctx context.Context, rng *rand.Rand, n int) error {
	c, err := h.s.Login()
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := c.Do("SELECT INBOX"); err != nil {
		return err
	}
	for k := range 20 {
		raw := message("client", 0, n, k)
		b := h.l.Adding("INBOX", true, Served(raw))
		uids, err := c.Append("INBOX", false, "", raw)
		if err != nil {
			return err
		}
		h.l.Done(b, uids)
		done := h.l.Storing("INBOX", "$Junk", true, Served(raw))
		if _, err := c.Do("UID STORE %d +FLAGS.SILENT ($Junk)", uids[0]); err != nil {
			return err
		}
		done()
		rest(150 * time.Millisecond)
		h.breathe(ctx, true)
		if ctx.Err() != nil {
			return nil
		}
	}
	return nil
}

// arrivals are deliveries; some of them are for NeoMutt to remove.
func (h *household) arrivals(ctx context.Context, rng *rand.Rand, n int) error {
	h.others.run = 1
	switch n % 4 {
	case 0:
		h.others.postfix(rng, n)
	case 1:
		h.others.exim(rng, n)
	case 2:
		base, sum, ok := h.others.write("trash", n)
		if !ok {
			return errors.New("cannot deliver")
		}
		h.saw.expect(sum)
		b := h.l.Adding("INBOX", true, sum)
		if os.Rename(h.others.path("tmp", base), h.others.path("new", base)) == nil {
			h.others.delivered(b)
			h.l.mu.Lock()
			h.l.box("INBOX").copies[sum].min = 0
			h.l.mu.Unlock()
			h.trash++
		}
	}
	rest(100 * time.Millisecond)
	return nil
}

// told reads UIDs and messages and takes them up in the ledger.
func (h *household) told() error {
	c, err := h.s.Login()
	if err != nil {
		return err
	}
	defer c.Close()
	h.l.mu.Lock()
	validity := h.l.box("INBOX").validity
	h.l.mu.Unlock()
	lines, err := c.Do("SELECT INBOX")
	if err != nil {
		return err
	}
	if got := code(lines, "UIDVALIDITY"); validity != 0 && got != uint64(validity) {
		return fmt.Errorf("UIDVALIDITY was %d, is %d", validity, got)
	}
	h.saw.learn()
	lines, err = c.Do("UID FETCH 1:* (UID BODY.PEEK[])")
	var no *errNo
	if err != nil && !errors.As(err, &no) { // NO: a file was renamed just then
		return err
	}
	h.l.mu.Lock()
	defer h.l.mu.Unlock()
	for _, r := range lines {
		m := fetchUID.FindStringSubmatch(r.text)
		if m == nil || len(r.literals) != 1 || !strings.HasPrefix(r.text, "* ") {
			continue
		}
		uid, _ := strconv.ParseUint(m[1], 10, 32)
		h.l.tellLocked("INBOX", h.l.box("INBOX"), uint32(uid), Served(r.literals[0]))
	}
	return nil
}
