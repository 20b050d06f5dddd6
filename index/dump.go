package index

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"time"
)

// Dump writes all of the Index for a human reader. It must not run beside a
// writer.
func (ix *Index) Dump(w io.Writer) error {
	b := bufio.NewWriter(w)
	p := func(format string, args ...any) { _, _ = fmt.Fprintf(b, format, args...) }
	ix.mu.Lock()
	p("uidvalidity %d\nmailbox id %s\ngeneration %016x\n", ix.UIDValidity(), ix.ID(), ix.Generation())
	p("uidnext %d\nhighestmodseq %d\nexpunge floor %d\nflag floor %d\nfirst recent %d\n",
		ix.UIDNext(), ix.HighestModSeq(), ix.ExpungeFloor(), ix.FlagFloor(), ix.FirstRecent())
	s := ix.Stamps()
	p("stamp new %d %d %d\nstamp cur %d %d %d\n", s.New.Ino, s.New.Mtime, s.New.Ctime, s.Cur.Ino, s.Cur.Mtime, s.Cur.Ctime)
	p("journal frame %d synced %d base end %d end %d\n", ix.seq, ix.synced, ix.hdr.baseEnd, ix.end)
	p("messages %d\n", ix.Live())
	ix.mu.Unlock()
	for i, name := range ix.AllKeywords() {
		p("keyword %d %s\n", i, name)
	}
	for r := range Row(ix.Len()) {
		if !ix.Gone(r) {
			ix.dumpRow(p, r)
		}
	}
	ix.stateMu.RLock()
	for _, v := range ix.st.vanished {
		p("expunged %d:%d modseq %d at %s\n", v.first, v.last, v.modseq, stamp(time.Unix(v.sec, 0)))
	}
	ix.stateMu.RUnlock()
	for _, u := range ix.ToUnlink() {
		p("to unlink %d %q %s size %d mtime %s\n", u.UID, u.Base, nameText(u.Name), u.Size, stamp(u.Mtime))
	}
	for _, in := range ix.Intents() {
		p("intent %d kind %d from %q\n", in.ID, in.Kind, in.From)
		for _, e := range in.Entries {
			p("  %q from %q\n", e.Add.Base, e.Source)
		}
	}
	for _, r := range ix.Pending() {
		p("rename pending %d", ix.UID(r))
		for _, n := range ix.Ours(r) {
			p(" %s", nameText(n))
		}
		p("\n")
	}
	return b.Flush()
}

func (ix *Index) dumpRow(p func(string, ...any), r Row) {
	p("message %d modseq %d flags (%s)", ix.UID(r), ix.ModSeq(r), ix.flagText(r))
	if d := ix.Date(r); d.Known {
		p(" date %s", d.Time().Format(time.RFC3339))
	}
	if n := ix.Size(r); n >= 0 {
		p(" size %d", n)
	}
	if t := ix.SaveDate(r); !t.IsZero() {
		p(" saved %s", stamp(t))
	}
	p(" %s %q\n", nameText(ix.Name(r)), ix.Base(r))
}

func (ix *Index) flagText(r Row) string {
	var words []string
	for i, name := range FlagNames {
		if ix.Flags(r)&(1<<i) != 0 {
			words = append(words, string(name))
		}
	}
	return strings.Join(append(words, ix.KeywordNames(ix.Keywords(r))...), " ")
}

func nameText(n Name) string {
	text := "cur:"
	if n.Where&InNew != 0 {
		text = "new:"
	}
	switch {
	case n.Where&ExactInfo != 0:
		return fmt.Sprintf("%s%q", text, n.Exact)
	case n.Where&HasInfo != 0:
		return text + "2," + n.Letters.String()
	}
	return text
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }
