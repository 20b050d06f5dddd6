package mailbox

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	"roost/disk"
	"roost/index"
	"roost/maildir"
)

// tmpAge is how old a file in tmp/ must be to be left over (rule T1).
const tmpAge = 36 * time.Hour

// An inspectedFile is a message file by its base.
type inspectedFile struct {
	name  string
	place maildir.Place
	seen  bool // the index has it
}

// mailbox looks at the mailbox at path.
func (in *inspector) mailbox(ctx context.Context, path string) {
	in.out.Mailboxes++
	in.inside, in.path, in.noted = in.name(path), path, map[string]int{}
	dir, err := openPath(in.st.o.FS, in.tree.Root(), in.u.Path, path)
	if err != nil {
		in.find(Problem, "make it readable for the user that roost runs as", "the directory cannot be read: %v", err)
		return
	}
	defer dir.Close()
	files := map[string]*inspectedFile{}
	whole := true // all of new/ and cur/ was read
	for _, p := range []maildir.Place{maildir.New, maildir.Cur} {
		whole = in.place(ctx, dir, p, files) && whole
	}
	in.tmp(dir)
	in.out.Messages += len(files)
	at := in.indexDir(dir, path)
	if at == nil {
		in.unindexed(len(files))
		return
	}
	if at != dir {
		defer at.Close()
	}
	in.journal(at, path, files, whole)
}

// unindexed tells of a mailbox that was never used.
func (in *inspector) unindexed(messages int) {
	if messages > 0 {
		in.find(Note, "", "no index yet: %d messages get their UIDs at the first use", messages)
	}
}

// indexDir is where the index of the mailbox at path is; nil: nowhere.
func (in *inspector) indexDir(dir disk.Dir, path string) disk.Dir {
	if in.u.Index == "" {
		return dir
	}
	if in.own == nil {
		return nil
	}
	at, err := openPath(in.st.o.FS, in.own, in.u.Index, path)
	if err != nil {
		return nil
	}
	return at
}

// place lists new/ or cur/; false if it could not be read whole.
func (in *inspector) place(ctx context.Context, dir disk.Dir, p maildir.Place, files map[string]*inspectedFile) bool {
	d, err := dir.OpenDir(p.String())
	if errors.Is(err, fs.ErrNotExist) {
		in.find(Warning, "nothing: roost makes it at the next use", "%s/ is missing", p)
		return true
	}
	if err != nil {
		in.find(Problem, "make it readable for the user that roost runs as: until then the mailbox is not available", "%s/ cannot be read: %v", p, err)
		return false
	}
	defer d.Close()
	n := 0
	err = d.ReadDir(func(e disk.Entry) bool {
		if n++; n%4096 == 0 {
			in.o.Progress(in.inside, n, 0)
		}
		in.entry(d, p, e, files)
		return ctx.Err() == nil
	})
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		in.find(Problem, "look into the log of the kernel: the disk may be failing", "%s/ cannot be read to its end: %v", p, err)
	}
	return err == nil
}

// entry looks at one name of new/ or cur/.
func (in *inspector) entry(d disk.Dir, p maildir.Place, e disk.Entry, files map[string]*inspectedFile) {
	name := string(e.Name)
	where := p.String() + "/" + name
	n, err := maildir.ParseName([]byte(name), in.st.o.InfoSep)
	if err != nil || e.Type != 0 && e.Type != fs.ModeIrregular {
		in.count(Note, "files that are no messages by their name or type: nobody sees them by IMAP", "move them elsewhere if they are not meant to be here", where)
		return
	}
	base := string(n.Base)
	if other := files[base]; other != nil {
		in.twice(d, p, name, other)
		return
	}
	files[base] = &inspectedFile{name: name, place: p}
	size, virtual := maildir.Sizes([]byte(base))
	if size < 0 && (virtual < 0 || !in.o.Deep) {
		return
	}
	info, err := d.Lstat(name)
	switch {
	case err != nil: // renamed meanwhile
	case size >= 0 && size != info.Size:
		in.count(Warning, "the size in the name (,S=) is not that of the file. roost does not believe it; Dovecot logs errors and repairs the name",
			"nothing, or let Dovecot's maildir check repair it; if the file was cut off, restore it from a backup", where)
	case virtual >= 0 && in.o.Deep:
		if w, err := virtualSize(d, name); err == nil && w != virtual {
			in.count(Warning, "the size as served in the name (,W=) is wrong. roost does not believe it", "nothing", where)
		}
	}
}

// twice tells of two files with one base (R4).
func (in *inspector) twice(d disk.Dir, p maildir.Place, name string, other *inspectedFile) {
	info, err := d.Lstat(name)
	if err != nil {
		return
	}
	there, err := in.lstat(other)
	if err != nil {
		return
	}
	example := p.String() + "/" + name + " and " + other.place.String() + "/" + other.name
	if info.Identity == there.Identity {
		in.count(Warning, "one file has two names: a delivery or a rename by linking was interrupted. It is one message; roost waits until one name goes",
			"remove one of the two names", example)
		return
	}
	in.count(Problem, "two files have the same base name, which is what identifies a message",
		"nothing: at the next use roost gives one of them a fresh name and a UID of its own; none is deleted", example)
}

func (in *inspector) lstat(f *inspectedFile) (disk.Info, error) {
	dir, err := openPath(in.st.o.FS, in.tree.Root(), in.u.Path, in.path)
	if err != nil {
		return disk.Info{}, err
	}
	defer dir.Close()
	place, err := dir.OpenDir(f.place.String())
	if err != nil {
		return disk.Info{}, err
	}
	defer place.Close()
	return place.Lstat(f.name)
}

// virtualSize is the size of a file with CRLF for every line end.
func virtualSize(d disk.Dir, name string) (int64, error) {
	f, err := d.Open(name)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	r := bufio.NewReaderSize(f, 64<<10)
	n, last := int64(0), byte(0)
	for {
		b, err := r.ReadSlice('\n')
		if len(b) > 0 {
			n += int64(len(b))
			if b[len(b)-1] == '\n' {
				if len(b) > 1 {
					last = b[len(b)-2]
				}
				if last != '\r' {
					n++
				}
			}
			last = b[len(b)-1]
		}
		if err == nil || errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		return 0, err
	}
}

// tmp looks for what was left in tmp/.
func (in *inspector) tmp(dir disk.Dir) {
	d, err := dir.OpenDir("tmp")
	if err != nil {
		return // made at the next use, or told by a mailbox that is read-only
	}
	defer d.Close()
	now := in.st.o.FS.Now()
	_ = d.ReadDir(func(e disk.Entry) bool {
		info, err := d.Lstat(string(e.Name))
		if err == nil && now.Sub(info.Mtime) > tmpAge && now.Sub(info.Ctime) > tmpAge {
			in.count(Note, "files in tmp/ are older than 36 hours: deliveries that were never finished", "roost removes them at the next use", "tmp/"+string(e.Name))
		}
		return true
	})
}

// journal compares the index in at with the files.
func (in *inspector) journal(at disk.Dir, path string, files map[string]*inspectedFile, whole bool) {
	ix, rec, err := index.Inspect(index.Options{Dir: at, Now: in.st.o.FS.Now})
	if err != nil {
		in.find(Problem, "see the error; if a newer roost wrote it, use that version", "%s cannot be read: %v", index.JournalName, err)
		return
	}
	known := in.state.byDir[path]
	switch {
	case rec.Missing && known != nil && known.UIDNext > 1: // else it never had messages, and needs none
		in.find(Problem, "restore "+index.JournalName+" from a backup, then run roost fsck --restored; without one, roost keeps the UIDVALIDITY and gives new UIDs: clients load this mailbox again",
			"%s is missing, and %s knows this mailbox (UIDVALIDITY %d)", index.JournalName, accountFileName, known.UIDValidity)
		return
	case rec.Missing:
		in.unindexed(len(files))
		return
	}
	in.fileMode(index.JournalName, rec.Info)
	in.recovery(&rec)
	if ix == nil {
		return
	}
	defer ix.Close()
	if err := ix.Check(); err != nil {
		in.find(Problem, "please report it with the output of roost dump", "the index contradicts itself: %s", strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	if other, ok := in.ids[ix.ID()]; ok {
		in.find(Problem, "nothing: at the next use the copy gets a new id and a new UIDVALIDITY, and clients load it again. Move mailboxes rather than copy them, or leave roost.* out of the copy",
			"this mailbox and %s have one id: one is a copy of the other, index and all", other)
	}
	in.ids[ix.ID()] = in.inside
	if known != nil && known.ID == ix.ID() && known.UIDValidity == ix.UIDValidity() &&
		(uint32(ix.UIDNext())+index.CeilingUIDs < known.UIDNext || uint64(ix.HighestModSeq())+index.CeilingModSeqs < known.ModSeq) {
		in.find(Problem, "nothing: at the next use UIDNEXT and HIGHESTMODSEQ jump, and clients read the flags again",
			"the index is an old copy: %s knows of UIDs up to %d, the index of %d", accountFileName, known.UIDNext, ix.UIDNext())
	}
	in.compare(ix, files, whole)
}

// recovery tells what the journal says of itself.
func (in *inspector) recovery(rec *index.Inspection) {
	if rec.Unreadable {
		in.find(Problem, "restore it from a backup, then run roost fsck --restored; without one, clients load this mailbox again",
			"nothing in %s can be read", index.JournalName)
		return
	}
	for _, d := range rec.Damaged {
		in.find(Problem, "nothing: at the next use roost keeps what is sound, gives new UIDs to the rest, and jumps. Check the disk",
			"%s is damaged from octet %d to %d", index.JournalName, d.From, d.To)
	}
	if rec.Dropped != "" {
		in.find(Problem, "", "messages with UIDs among %s lose them, and their keywords beyond the letters in file names", rec.Dropped)
	}
	if rec.BadCopy {
		in.find(Warning, "nothing: it is written anew at the next use", "one of the two headers of %s is damaged", index.JournalName)
	}
	if rec.Foreign {
		in.find(Warning, "nothing: at the next use UIDNEXT and HIGHESTMODSEQ jump, so that no UID is given twice",
			"%s is a copy of another file: restored from a backup, or moved to another disk", index.JournalName)
	}
	if rec.Torn > 0 && !in.out.Busy {
		in.find(Note, "", "the last write to %s was not finished; nobody was told of it, and roost cuts it", index.JournalName)
	}
}

// compare looks for messages without a file, and the other way round.
func (in *inspector) compare(ix *index.Index, files map[string]*inspectedFile, whole bool) {
	missing, renamed := 0, 0
	var examples []string
	for r := range index.Row(ix.Len()) {
		if ix.Gone(r) {
			continue
		}
		f := files[ix.Base(r)]
		if f == nil {
			if missing++; len(examples) < 5 {
				examples = append(examples, fmt.Sprintf("UID %d %s", ix.UID(r), ix.Base(r)))
			}
			continue
		}
		f.seen = true
		if n, err := maildir.ParseName([]byte(f.name), in.st.o.InfoSep); err == nil && !sameName(ix.Name(r), n, f.place) {
			renamed++
		}
	}
	for _, u := range ix.ToUnlink() {
		if f := files[u.Base]; f != nil {
			f.seen = true
			in.count(Note, "files of messages that were expunged and are still to be removed", "nothing: it is done at the next use", f.name)
		}
	}
	fresh := 0
	for _, f := range files {
		if !f.seen {
			fresh++
		}
	}
	if fresh > 0 {
		in.find(Note, "", "%d files are not in the index yet: they get UIDs at the next use", fresh)
	}
	if renamed > 0 {
		in.find(Note, "", "%d files have other flags in their names than the index saw last: they are merged at the next use", renamed)
	}
	if missing == 0 || !whole {
		return
	}
	f := Finding{Mailbox: in.inside, Severity: Warning, Count: missing, Examples: examples,
		What: "messages of the index have no file: another program removed them, or they were lost",
		Do:   "nothing if they were meant to go: they are expunged at the next use. Else restore the files from a backup before that"}
	if missing > max(massFloor, ix.Live()/5) || len(files) == 0 {
		f.Severity = Problem
		f.What = "most messages of the index have no file"
		f.Do = "check that the right disk is mounted, and restore the files from a backup. If they are really gone: roost fsck --accept-loss " + in.inside
	}
	in.out.Findings = append(in.out.Findings, f)
}
