package session

import (
	"context"
	"io"

	"roost/mailbox"
	"roost/message"
)

// This file is CATENATE (RFC 4469; ;PARTIAL= in its URLs: RFC 5550 §5.7.1): a
// message put together from literals and from what is here already.

// A catenation is one message in the making.
type catenation struct {
	s     *Session
	ctx   context.Context
	w     io.Writer
	size  int64
	limit int64
	open  map[string]source // by name of the mailbox
}

// A source is a mailbox that URLs name.
type source struct {
	mailbox *mailbox.Mailbox // nil: the selected one
	view    *mailbox.View
}

// maxSources bounds the mailboxes that one message may come from.
const maxSources = 100

// catenate reads the parts of a message and adds it to ap.
//
//	append-data = "CATENATE" SP "(" cat-part *(SP cat-part) ")"
func (s *Session) catenate(ctx context.Context, ap *mailbox.Append, meta mailbox.AppendMeta) error {
	c := catenation{s: s, ctx: ctx, limit: s.opt.Limits.Append, open: map[string]source{}}
	defer c.close()
	return ap.Build(meta, func(w io.Writer) error {
		c.w = w
		s.sc.Open()
		for {
			if err := c.part(); err != nil {
				return err
			}
			if s.sc.Close() {
				break
			}
			s.sc.SP()
		}
		if c.size == 0 {
			return no("", "an empty message is not appended")
		}
		return nil
	})
}

// part reads one part.
//
//	cat-part = "TEXT" SP literal / "URL" SP astring / "UTF8" SP "(" literal8 ")"
func (c *catenation) part() error {
	sc := c.s.sc
	switch name := sc.Name(); name {
	case "TEXT":
		sc.SP()
		return c.text(false)
	case "UTF8": // RFC 6855 §4
		sc.SP()
		sc.Open()
		if err := c.text(true); err != nil {
			return err
		}
		if !sc.Close() {
			sc.Fail("expected `)` behind the part")
		}
		return sc.Err()
	case "URL":
		sc.SP()
		url := sc.AString()
		if sc.Err() != nil {
			return sc.Err()
		}
		return c.url(url)
	default:
		sc.Fail("unknown kind of part")
		return sc.Err()
	}
}

// grow counts octets before they are taken.
func (c *catenation) grow(n int64) error {
	if n > c.limit-c.size {
		return no("TOOBIG", "message too big") // RFC 4469 §4.2
	}
	c.size += n
	return nil
}

// text takes a literal.
func (c *catenation) text(utf8 bool) error {
	sc := c.s.sc
	lit := sc.LiteralReader(c.limit)
	if lit == nil {
		return sc.Err()
	}
	if utf8 && !lit.Binary() {
		sc.Fail("UTF8 needs a literal8")
		return sc.Err()
	}
	if err := c.grow(lit.Size()); err != nil {
		return err
	}
	if _, err := io.Copy(c.w, lit); err != nil {
		return err
	}
	return lit.Close()
}

// url takes what a URL names, as FETCH would give it. \Seen stays as it is.
func (c *catenation) url(url string) error {
	u, err := parseMessageURL(url)
	if err != nil {
		return badURL(url)
	}
	view, err := c.view(u.mailbox)
	if err != nil {
		return badURL(url)
	}
	if u.uidValidity != 0 && u.uidValidity != view.Mailbox().UIDValidity() {
		return badURL(url)
	}
	n := view.Seq(u.uid)
	if n == 0 {
		return badURL(url)
	}
	content := view.Content(n)
	defer content.Close()
	b, ok, err := sectionOf(content, &u.section.Section)
	if err != nil || !ok {
		return badURL(url)
	}
	off, size := int64(0), b.Size()
	if u.section.partial {
		off = u.section.offset
		count := u.section.count
		if count < 0 {
			count = b.Size()
		}
		size = b.PartialSize(off, count)
	}
	if err := c.grow(size); err != nil {
		return err
	}
	_, err = b.WritePartial(c.w, off, size, nil)
	return err
}

// view gives the messages of a mailbox: those of the View, if it is selected.
func (c *catenation) view(name string) (*mailbox.View, error) {
	if name == "" {
		if c.s.view == nil {
			return nil, errURL
		}
		return c.s.view, nil
	}
	if src, ok := c.open[name]; ok {
		return src.view, nil
	}
	if len(c.open) == maxSources {
		return nil, errURL
	}
	mb, err := c.s.access.Mailbox(c.ctx, name, needs["CATENATE"].named)
	if err != nil {
		return nil, err
	}
	if mb.Mailbox == c.s.mailbox {
		mb.Release()
		c.open[name] = source{view: c.s.view}
		return c.s.view, nil
	}
	view, err := mb.Open(c.ctx, true, &c.s.barrier)
	if err != nil {
		mb.Release()
		return nil, err
	}
	c.open[name] = source{mb.Mailbox, view}
	return view, nil
}

func (c *catenation) close() {
	for _, src := range c.open {
		if src.mailbox != nil {
			src.view.Close()
			src.mailbox.Release()
		}
	}
}

// sectionOf finds the octets of a section; false: the message has none.
func sectionOf(c *mailbox.Content, sec *message.Section) (message.Body, bool, error) {
	if len(sec.Path) == 0 && sec.Spec == message.Whole {
		served, err := c.Size()
		if err != nil {
			return message.Body{}, false, err
		}
		r, size, err := c.Reader()
		return message.WholeBody(r, size, served), true, err
	}
	part, err := c.Part()
	if err != nil {
		return message.Body{}, false, err
	}
	r, _, err := c.Reader()
	if err != nil {
		return message.Body{}, false, err
	}
	return part.Section(r, *sec)
}
