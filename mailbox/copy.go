package mailbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"syscall"
	"time"

	"roost/index"
	"roost/maildir"
)

// youngTime is how old a file must be so that a COPY trusts its writer to have
// synced it.
const youngTime = 60 * time.Second

// A copying is one message of a COPY or MOVE.
type copying struct {
	row      index.Row
	base     string
	flags    index.Flags
	keywords []string
	date     index.Date
	size     int64
	fresh    string // base of the copy
}

// Copy is COPY, all or nothing (RFC 9051 §6.4.7); dest may be v's own mailbox.
// Expunged messages in msgs: ErrExpunged. What it did is durable once the
// session's Barrier is.
func (v *View) Copy(ctx context.Context, msgs Seqs, dest *Mailbox) (CopyResult, error) {
	return v.CopyTo(ctx, msgs, dest.reach(), nil)
}

// CopyTo is Copy to where the user may do less: flags that may not be set are left
// out (RFC 4314 §4). progress, if set, is called now and then by the calling
// goroutine, as in a search.
func (v *View) CopyTo(ctx context.Context, msgs Seqs, to *Reach, progress func(done, total int)) (CopyResult, error) {
	dest := to.Mailbox
	list, err := v.copied(msgs, false, to.Rights)
	if err != nil || len(list) == 0 {
		return CopyResult{}, err
	}
	release, err := dest.o.Quota.reserveCopies(ctx, v, list)
	if err != nil {
		return CopyResult{}, fmt.Errorf("mailbox: copy: %w", err)
	}
	defer release()
	res, made, err := v.copyTo(ctx, list, dest, progress)
	if err != nil {
		return CopyResult{}, err
	}
	v.b.add(made)
	return res, nil
}

// Move is MOVE (RFC 9051 §6.4.8): each message is in at least one mailbox at all
// times. It gives what was moved also beside an error, when a part had to stay.
// A move changes nothing of what a quota counts, so none refuses it, but for one to
// another user.
func (v *View) Move(ctx context.Context, msgs Seqs, dest *Mailbox) (CopyResult, error) {
	return v.MoveTo(ctx, msgs, dest.reach(), nil)
}

// MoveTo is Move as CopyTo is Copy.
func (v *View) MoveTo(ctx context.Context, msgs Seqs, to *Reach, progress func(done, total int)) (CopyResult, error) {
	dest := to.Mailbox
	list, err := v.copied(msgs, true, to.Rights)
	if err != nil || len(list) == 0 {
		return CopyResult{}, err
	}
	rows := make([]index.Row, len(list))
	for i := range list {
		rows[i] = list[i].row
	}
	if dest.o.Quota != v.mb.o.Quota {
		release, err := dest.o.Quota.reserveCopies(ctx, v, list)
		if err != nil {
			return CopyResult{}, fmt.Errorf("mailbox: move: %w", err)
		}
		defer release()
	}
	b, err := v.mb.measure(ctx, rows)
	if err != nil {
		return CopyResult{}, err
	}
	res, made, err := v.copyTo(ctx, list, dest, progress)
	if err != nil {
		return CopyResult{}, err
	}
	// The destination is durable before the source's record is written.
	if err := made.wait(); err != nil {
		return CopyResult{}, err
	}
	v.b.add(made)
	v.mb.mu.Lock()
	defer v.mb.mu.Unlock()
	if err := v.writeLocked(); err != nil {
		return res, err
	}
	kept := b.Expunges[:0]
	for _, e := range b.Expunges {
		if v.mb.live.Has(e.Row) {
			kept = append(kept, e)
		}
	}
	b.Expunges = kept
	if err := v.mb.expungeLocked(b, v); err != nil {
		return res, err
	}
	v.note()
	return res, nil
}

// reach is mb for its owner.
func (mb *Mailbox) reach() *Reach { return &Reach{Mailbox: mb, Rights: AllRights} }

// needMove is what MOVE and REPLACE need where the messages are: what STORE of
// \Deleted and EXPUNGE do (RFC 6851 §4.2, RFC 8508 §4.1).
const needMove = RightDeleted | RightExpunge

// copied collects what is to be copied, with the flags that there may be set.
func (v *View) copied(msgs Seqs, move bool, there Rights) ([]copying, error) {
	mb := v.mb
	mb.mu.Lock()
	defer mb.mu.Unlock()
	err := v.beginLocked()
	if move {
		err = v.mayLocked(needMove)
	}
	if err != nil {
		return nil, err
	}
	list := make([]copying, 0, msgs.Len())
	for n := range msgs.All() {
		row := v.row(n)
		if row < 0 {
			continue
		}
		if v.ix.Gone(row) {
			return nil, ErrExpunged
		}
		_, f, k := v.ix.State(row)
		base := v.ix.Base(row)
		size, virtual := maildir.Sizes([]byte(base))
		meta := there.meta(AppendMeta{Flags: f, Keywords: v.ix.KeywordNames(k)})
		list = append(list, copying{
			row: row, base: base, flags: meta.Flags, keywords: meta.Keywords,
			date: v.ix.Date(row), size: v.ix.Size(row),
			fresh: mb.namer.Copy([]byte(base), size, virtual),
		})
	}
	return list, nil
}

// copyTo makes the copies messages of dest; made is where dest's journal says so.
func (v *View) copyTo(ctx context.Context, list []copying, dest *Mailbox, progress func(done, total int)) (res CopyResult, made barrierWait, err error) {
	words := map[string]struct{}{}
	for i := range list {
		for _, w := range list[i].keywords {
			words[w] = struct{}{}
		}
	}
	names := make([]string, 0, len(words))
	for w := range words {
		names = append(names, w)
	}
	dest.giveLetters(ctx, names)
	in, err := dest.reserve(func() ([]index.IntentEntry, error) { return dest.copyEntriesLocked(list) })
	if err != nil {
		return res, made, err
	}
	defer in.release()
	if err := in.intend(intentCopy, v.ix.ID().String()); err != nil {
		return res, made, err
	}
	dest.withoutWatch(ctx, len(list), func() {
		for i := range list {
			if err = ctx.Err(); err == nil {
				err = v.copyFile(ctx, &list[i], dest, &in.entries[i])
			}
			if err != nil {
				in.undo(i)
				return
			}
			if progress != nil && i%64 == 63 {
				progress(i+1, len(list))
			}
		}
	})
	if err != nil {
		return res, made, fmt.Errorf("mailbox: copy: %w", diskErr(err))
	}
	var by *View
	a, err := in.publish(by)
	if err != nil {
		return res, made, err
	}
	res.UIDValidity = in.ix.UIDValidity()
	var octets int64
	for i := range list {
		res.Source = append(res.Source, v.ix.UID(list[i].row))
		res.Dest = append(res.Dest, in.ix.UID(a.First+index.Row(i)))
		octets += knownSize(v.ix, list[i].row)
	}
	dest.o.Quota.owe(octets, int64(len(list)))
	if len(list) <= fillLimit/4 {
		in.filled(a)
	}
	return res, barrierWait{dest, in.ix, position(a.Pos)}, nil
}

// copyEntriesLocked are the records of the copies in mb, the destination. mb.mu
// must be held.
func (mb *Mailbox) copyEntriesLocked(list []copying) ([]index.IntentEntry, error) {
	out := make([]index.IntentEntry, len(list))
	now := mb.o.FS.Now()
	for i := range list {
		c := &list[i]
		k, err := mb.setOf(c.keywords)
		if err != nil {
			return nil, err
		}
		out[i] = index.IntentEntry{
			Source: c.base,
			Add: index.Add{
				Base: c.fresh, Flags: c.flags, Keywords: k, Date: c.date, Size: c.size, SaveDate: now,
				Name: index.Name{Letters: mb.wantLettersLocked(c.flags, k, 0), Where: index.HasInfo},
			},
		}
	}
	return out, nil
}

// copyFile gives the file of c its second name, in dest; where links cannot be
// had it copies the octets. A young file that another program wrote is synced:
// the copy must be durable.
func (v *View) copyFile(ctx context.Context, c *copying, dest *Mailbox, e *index.IntentEntry) error {
	mb := v.mb
	name := dest.fileName(e.Add.Base, e.Add.Name)
	for try := range len(openPauses) {
		n := v.ix.Name(c.row)
		place, from := placeOf(n), mb.fileName(v.ix.Base(c.row), n)
		err := mb.syncYoung(place, from, c)
		if err == nil && dest.account() != mb.account() {
			// The other user's file must be the other user's.
			return v.copyOctets(c, dest, name)
		}
		if err == nil {
			err = mb.dir.Link(place, from, dest.dir, maildir.Cur, name)
		}
		switch {
		case err == nil:
			return nil
		case errors.Is(err, syscall.EMLINK), errors.Is(err, syscall.EXDEV), errors.Is(err, syscall.EPERM),
			errors.Is(err, syscall.EOPNOTSUPP), errors.Is(err, syscall.ENOSYS):
			return v.copyOctets(c, dest, name)
		case !errors.Is(err, fs.ErrNotExist):
			return err
		}
		if v.ix.Gone(c.row) {
			return ErrExpunged
		}
		wait := time.NewTimer(openPauses[try])
		<-wait.C
		if err := mb.refreshHard(ctx, try > 1); err != nil {
			return err
		}
	}
	return fmt.Errorf("%w: the file of UID %d cannot be found", ErrUnavailable, v.ix.UID(c.row))
}

func (mb *Mailbox) syncYoung(p maildir.Place, name string, c *copying) error {
	if strings.Contains(c.base, mb.own) {
		return nil
	}
	info, err := mb.dir.Lstat(p, name)
	if err != nil || mb.o.FS.Now().Sub(info.Mtime) > youngTime {
		return err
	}
	f, err := mb.dir.OpenMessage(p, name)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// copyOctets is for file systems and files that have no more links.
func (v *View) copyOctets(c *copying, dest *Mailbox, name string) error {
	f, err := v.mb.openFile(v.ix, c.row)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	t, err := dest.dir.Create(dest.namer)
	if err != nil {
		return err
	}
	n, err := io.Copy(onlyWriter{t}, io.NewSectionReader(f, 0, info.Size))
	if err == nil && n != info.Size {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		t.Abort()
		return err
	}
	return t.Commit(info.Mtime, maildir.Cur, name)
}

// onlyWriter hides what io.Copy would rather use.
type onlyWriter struct{ w io.Writer }

func (w onlyWriter) Write(p []byte) (int, error) { return w.w.Write(p) }
