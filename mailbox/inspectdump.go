package mailbox

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"

	"roost/disk"
	"roost/index"
	"roost/maildir"
)

// DumpAccount prints what roost.account knows. It takes no lock.
func (st *Store) DumpAccount(u User, w io.Writer) error {
	in, err := st.inspector(u)
	if err != nil {
		return fmt.Errorf("mailbox: dump: %w", diskErr(err))
	}
	defer in.close()
	in.account()
	for _, f := range in.out.Findings {
		fmt.Fprintf(w, "# %s: %s\n", f.Severity, f.What)
	}
	s := in.state
	fmt.Fprintf(w, "highest uidvalidity %d\ntombstone floor %d\n", s.highWater, s.floor)
	if s.quota != (Quota{}) {
		fmt.Fprintf(w, "quota storage %d messages %d mailboxes %d\n", s.quota.Storage, s.quota.Messages, s.quota.Mailboxes)
	}
	for _, dir := range slices.Sorted(maps.Keys(s.byDir)) {
		r := s.byDir[dir]
		fmt.Fprintf(w, "mailbox %q dir %q id %s uidvalidity %d uidnext ceiling %d modseq ceiling %d", in.name(dir), dir, r.ID, r.UIDValidity, r.UIDNext, r.ModSeq)
		if len(r.Uses) > 0 {
			fmt.Fprintf(w, " uses %s", strings.Join(r.Uses, " "))
		}
		if r.Adopted != nil {
			fmt.Fprint(w, " adopted")
		}
		if r.Renew {
			fmt.Fprint(w, " renew")
		}
		fmt.Fprintln(w)
	}
	for _, dir := range slices.Sorted(maps.Keys(s.tombs)) {
		fmt.Fprintf(w, "tombstone %q uidvalidity %d\n", dir, s.tombs[dir])
	}
	s.metadata.each(func(id index.MailboxID, note MetadataEntry) {
		of := "account"
		if !id.IsZero() {
			of = id.String()
		}
		fmt.Fprintf(w, "annotation of %s %q %q\n", of, note.Name, note.Value)
	})
	s.acls.each(func(id index.MailboxID, identifier string, r Rights) {
		fmt.Fprintf(w, "rights on %s of %q %s\n", id, identifier, r.letters())
	})
	if len(s.unknown) > 0 {
		fmt.Fprintf(w, "records of a newer version %d\n", len(s.unknown))
	}
	return nil
}

// inspectIndex opens the index of a mailbox as it lies on the disk; done closes
// what is open.
func (in *inspector) inspectIndex(name string, open func(index.Options) (*index.Index, index.Inspection, error)) (ix *index.Index, rec index.Inspection, dir disk.Dir, done func(), err error) {
	m, err := in.names.parse(name)
	if err != nil {
		return nil, rec, nil, nil, err
	}
	path, err := in.tree.Find(m)
	if err != nil {
		return nil, rec, nil, nil, vanished(name, err)
	}
	in.inside, in.path = name, joinPath(path)
	dir, err = openPath(in.st.o.FS, in.tree.Root(), in.u.Path, in.path)
	if err != nil {
		return nil, rec, nil, nil, vanished(name, err)
	}
	at := in.indexDir(dir, in.path)
	done = func() {
		if ix != nil {
			ix.Close()
		}
		if at != nil && at != dir {
			at.Close()
		}
		dir.Close()
	}
	if at == nil {
		done()
		return nil, rec, nil, nil, fmt.Errorf("%w: it has no index yet", ErrUnavailable)
	}
	ix, rec, err = open(index.Options{Dir: at, Now: in.st.o.FS.Now})
	switch {
	case err == nil && rec.Missing:
		err = fmt.Errorf("%w: it has no index yet", ErrUnavailable)
	case err == nil && ix == nil:
		err = fmt.Errorf("%w: nothing in its index can be read", ErrUnavailable)
	}
	if err != nil {
		done()
		return nil, rec, nil, nil, err
	}
	return ix, rec, dir, done, nil
}

// Dump prints the index of a mailbox as it lies on the disk. It takes no lock:
// a server that runs may be ahead.
func (st *Store) Dump(u User, name string, w io.Writer) error {
	in, err := st.inspector(u)
	if err != nil {
		return fmt.Errorf("mailbox: dump: %w", diskErr(err))
	}
	defer in.close()
	ix, rec, _, done, err := in.inspectIndex(name, index.Inspect)
	if err != nil {
		return fmt.Errorf("mailbox: dump %s: %w", name, diskErr(err))
	}
	defer done()
	in.noted = map[string]int{}
	in.recovery(&rec)
	for _, f := range in.out.Findings {
		fmt.Fprintf(w, "# %s: %s\n", f.Severity, f.What)
	}
	fmt.Fprintf(w, "journal created %s last record %s records %d closed %v\n",
		rec.Created.UTC().Format(time.RFC3339), rec.Last.UTC().Format(time.RFC3339), rec.Frames, rec.Clean)
	return ix.Dump(w)
}

// An Explanation is what is known of one message.
type Explanation struct {
	UIDValidity uint32
	UIDNext     imap.UID
	Created     time.Time // the history reaches back to here
	Message     bool      // it is a message now
	Flags       []string
	ModSeq      ModSeq
	Base        string
	File        string // where it should be, below the directory of the mailbox
	Found       string // where it is; "": nowhere
	Size        int64  // of the file
	Mtime       time.Time
	Events      []ExplainedEvent
}

// An ExplainedEvent is one entry of its history, in words.
type ExplainedEvent struct {
	Time   time.Time
	Who    string // "a client", "another program", "roost"
	What   string
	ModSeq ModSeq // 0: none
}

// Explain tells what is known of one message, from the files and the journal,
// without a lock.
func (st *Store) Explain(ctx context.Context, u User, name string, uid imap.UID) (Explanation, error) {
	var out Explanation
	in, err := st.inspector(u)
	if err != nil {
		return out, fmt.Errorf("mailbox: explain: %w", diskErr(err))
	}
	defer in.close()
	var events []index.Event
	ix, rec, dir, done, err := in.inspectIndex(name, func(o index.Options) (ix *index.Index, rec index.Inspection, err error) {
		ix, events, rec, err = index.History(o, uid)
		return ix, rec, err
	})
	if err != nil {
		return out, fmt.Errorf("mailbox: explain %s: %w", name, diskErr(err))
	}
	defer done()
	out.UIDValidity, out.UIDNext, out.Created = ix.UIDValidity(), ix.UIDNext(), rec.Created
	for _, e := range events {
		out.Base = cmp.Or(e.Base, out.Base)
		out.Events = append(out.Events, in.explained(&e))
	}
	if r := ix.RowOf(uid); r != index.NoRow {
		out.Message, out.Base, out.ModSeq = true, ix.Base(r), ix.Told(r)
		out.Flags = flagWords(ix.Flags(r), ix.KeywordNames(ix.Keywords(r)))
		n := ix.Name(r)
		out.File = placeOf(n).String() + "/" + in.fileName(out.Base, n)
	}
	if out.Base == "" {
		return out, nil
	}
	return out, in.locate(ctx, dir, &out)
}

// locate finds the file by its base.
func (in *inspector) locate(ctx context.Context, dir disk.Dir, out *Explanation) error {
	for _, p := range []maildir.Place{maildir.New, maildir.Cur} {
		d, err := dir.OpenDir(p.String())
		if err != nil {
			continue
		}
		err = d.ReadDir(func(e disk.Entry) bool {
			n, perr := maildir.ParseName(e.Name, in.st.o.InfoSep)
			if perr == nil && string(n.Base) == out.Base {
				out.Found = p.String() + "/" + string(e.Name)
				if info, err := d.Lstat(string(e.Name)); err == nil {
					out.Size, out.Mtime = info.Size, info.Mtime
				}
			}
			return ctx.Err() == nil
		})
		d.Close()
		if err = errors.Join(err, ctx.Err()); err != nil {
			return fmt.Errorf("mailbox: explain: %w", diskErr(err))
		}
	}
	return nil
}

// fileName is the name of a file by what the index says of it.
func (in *inspector) fileName(base string, n index.Name) string {
	switch {
	case n.Where&index.ExactInfo != 0:
		return base + n.Exact
	case n.Where&index.HasInfo != 0:
		return base + string(rune(in.st.o.InfoSep)) + "2," + n.Letters.String()
	}
	return base
}

func flagWords(f Flags, keywords []string) []string {
	var words []string
	for i, name := range FlagNames {
		if f&(1<<i) != 0 {
			words = append(words, string(name))
		}
	}
	return append(words, keywords...)
}

// explained puts an event into words.
func (in *inspector) explained(e *index.Event) ExplainedEvent {
	const client, other, roost = "a client", "another program", "roost"
	out := ExplainedEvent{Time: e.Time, ModSeq: e.ModSeq, Who: roost}
	flags := "(" + strings.Join(flagWords(e.Flags, e.Keywords), " ") + ")"
	name := placeOf(e.Name).String() + "/" + in.fileName("…", e.Name)
	switch e.Kind {
	case index.EventAdded:
		// What roost writes itself it has measured.
		out.Who, out.What = other, "put the file there; it got its UID, flags "+flags
		if e.Size != index.UnknownSize {
			out.Who, out.What = client, fmt.Sprintf("added it by APPEND, COPY or MOVE (%d octets), flags %s", e.Size, flags)
		}
	case index.EventIntended:
		out.Who, out.What = client, "began to add several messages at once; this one from "+cmp.Or(e.Source, "the client")
	case index.EventFlags:
		out.Who, out.What = client, "set the flags to "+flags
	case index.EventFlagsOutside:
		out.Who, out.What = other, "changed the flags to "+flags
	case index.EventRenaming:
		out.What = "renames the file to " + name
	case index.EventRenamed:
		out.What = "made the name " + name + " durable"
	case index.EventNamedOutside:
		out.Who, out.What = other, "renamed the file to "+name
		if e.Base != "" {
			out.What += ", with the new base " + e.Base
		}
	case index.EventFacts:
		out.What = "looked at the file"
		if e.Size != index.UnknownSize {
			out.What += fmt.Sprintf(": %d octets as served", e.Size)
		}
	case index.EventExpunged:
		out.Who, out.What = client, "expunged it (EXPUNGE, CLOSE or MOVE); the file is to be removed"
	case index.EventExpungedGone:
		out.Who, out.What = other, "removed the file: expunged"
	case index.EventRemoved:
		out.What = "removed the file"
	}
	return out
}
