package session

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"roost/mailbox"
	"roost/wire"
)

// DEVIATION: changes by others are told only with NOTIFY; ENABLE METADATA
// (RFC 5464 §4.4) is not known.

// This file is METADATA (RFC 5464), with METADATA-SERVER, and what LIST-METADATA
// (RFC 9590) needs of it. Server entries below /private belong to the account,
// those below /shared come from the configuration.

// getMetadataCmd is GETMETADATA (RFC 5464 §4.2).
type getMetadataCmd struct {
	name    string // "": the server
	entries []string
	depth   int
	maxSize int64 // negative: none
	options bool  // given
}

// maxEntries is how many entries one command may name.
const maxEntries = 1000

// parseGetMetadata reads
//
//	getmetadata         = "GETMETADATA" [SP getmetadata-options] SP mailbox SP entries
//	getmetadata-options = "(" getmetadata-option *(SP getmetadata-option) ")"
//	entries             = entry / "(" entry *(SP entry) ")"
//
// The examples of the RFC, and clients, have the options behind the mailbox, and
// several entries without a list; both are taken.
func parseGetMetadata(sc *wire.Scanner) (runner, error) {
	c := getMetadataCmd{maxSize: -1}
	sc.SP()
	if sc.Peek() == '(' {
		c.scanList(sc, false)
		sc.SP()
	}
	c.name = sc.Mailbox()
	sc.SP()
	if sc.Peek() == '(' && !c.options {
		c.scanList(sc, true)
		if len(c.entries) == 0 {
			sc.SP()
		}
	}
	switch {
	case len(c.entries) > 0:
	case sc.Peek() == '(':
		sc.List(func() { c.entries = append(c.entries, scanEntry(sc, len(c.entries))) })
	default:
		c.entries = append(c.entries, scanEntry(sc, 0))
		for !sc.AtEnd() {
			sc.SP()
			c.entries = append(c.entries, scanEntry(sc, len(c.entries)))
		}
	}
	if len(c.entries) == 0 {
		sc.Fail("expected an entry")
	}
	return &c, sc.End()
}

// scanList reads options, or, if that is allowed, entries, which begin with a
// slash.
func (c *getMetadataCmd) scanList(sc *wire.Scanner, entries bool) {
	n := sc.List(func() {
		switch p := sc.Peek(); {
		case entries && !c.options && (p == '/' || p == '"' || p == '{'):
			c.entries = append(c.entries, scanEntry(sc, len(c.entries)))
			return
		case len(c.entries) > 0:
			sc.Fail("expected an entry")
			return
		}
		c.options = true
		switch sc.Name() {
		case "MAXSIZE":
			sc.SP()
			c.maxSize = int64(sc.Number())
		case "DEPTH":
			sc.SP()
			switch sc.Name() {
			case "0":
				c.depth = mailbox.DepthEntry
			case "1":
				c.depth = mailbox.DepthChildren
			case "INFINITY":
				c.depth = mailbox.DepthInfinity
			default:
				sc.Fail("unknown depth")
			}
		default:
			sc.Fail("unknown option")
		}
	})
	if n == 0 {
		sc.Fail("empty list")
	}
}

// scanEntry reads the name of an entry; n were read before.
//
//	entry = astring
func scanEntry(sc *wire.Scanner, n int) string {
	name := sc.AString()
	switch {
	case sc.Err() != nil:
	case n >= maxEntries:
		sc.Fail("too many entries")
	case !mailbox.ValidEntry(name):
		sc.Fail("invalid entry name")
	}
	return name
}

func (c *getMetadataCmd) run(ctx context.Context, s *Session) error {
	got, err := s.access.Metadata(ctx, c.name, s.need().named, c.entries, c.depth)
	if err != nil {
		return err
	}
	if c.name == "" {
		got = s.serverMetadata(got, c.entries, c.depth)
	}
	if len(got) == 0 { // the response is required
		got = []mailbox.MetadataEntry{{Name: c.entries[0]}}
	}
	var longest int64
	kept := got[:0]
	for _, e := range got {
		if size := int64(len(e.Value)); c.maxSize >= 0 && size > c.maxSize {
			longest = max(longest, size)
		} else {
			kept = append(kept, e)
		}
	}
	if len(kept) > 0 {
		s.writeMetadata(c.name, kept)
	}
	if longest > 0 {
		return s.ok("METADATA LONGENTRIES "+strconv.FormatInt(longest, 10), "")
	}
	return nil
}

// serverMetadata puts the entries of the configuration to those of the account,
// which has none below /shared.
func (s *Session) serverMetadata(got []mailbox.MetadataEntry, want []string, depth int) []mailbox.MetadataEntry {
	for _, e := range []mailbox.MetadataEntry{
		{Name: "/shared/admin", Value: []byte(s.opt.ServerAdmin)},
		{Name: "/shared/comment", Value: []byte(s.opt.ServerComment)},
	} {
		if len(e.Value) == 0 {
			continue
		}
		for i := range got {
			if wire.EqualFold(got[i].Name, e.Name) {
				got[i].Value = e.Value
			}
		}
		for _, name := range want {
			if depth != mailbox.DepthEntry && (wire.EqualFold(name, e.Name) || wire.EqualFold(name, "/shared")) {
				got = append(got, e)
			}
		}
	}
	return got
}

// writeMetadata writes
//
//	metadata-resp = "METADATA" SP mailbox SP entry-values
func (s *Session) writeMetadata(name string, entries []mailbox.MetadataEntry) {
	s.w.Untagged()
	s.w.Raw("METADATA ")
	if name == "" {
		s.w.Raw(`""`)
	} else {
		s.w.Mailbox(name)
	}
	s.w.SP()
	s.w.Open()
	for _, e := range entries {
		s.w.Item()
		s.w.AString(e.Name)
		s.w.SP()
		s.writeMetadataValue(e.Value)
	}
	s.w.Close()
	s.w.CRLF()
}

// writeMetadataValue writes
//
//	value = nstring / literal8
func (s *Session) writeMetadataValue(v []byte) {
	for _, c := range v {
		if c == 0 {
			s.w.LiteralHeader(int64(len(v)), true)
			s.w.Write(v)
			return
		}
	}
	s.w.NString(string(v), v != nil)
}

// setMetadataCmd is SETMETADATA (RFC 5464 §4.3). Its values are read while it
// runs, under the limits of the session.
type setMetadataCmd struct{ name string }

// parseSetMetadata reads the name of the mailbox.
//
//	setmetadata  = "SETMETADATA" SP mailbox SP entry-values
//	entry-values = "(" entry-value *(SP entry-value) ")"
func parseSetMetadata(sc *wire.Scanner) (runner, error) {
	var c setMetadataCmd
	sc.SP()
	c.name = sc.Mailbox()
	sc.SP()
	return &c, sc.Err()
}

func (c *setMetadataCmd) run(ctx context.Context, s *Session) error {
	limits := s.account.MetadataLimits()
	var entries []mailbox.MetadataEntry
	var total int64
	var refused error
	n := s.sc.List(func() {
		if refused != nil {
			s.sc.Fail("not read")
			return
		}
		name := scanEntry(s.sc, len(entries))
		s.sc.SP()
		var value []byte
		if value, refused = scanMetadataValue(s.sc, limits, total); refused == nil {
			total += int64(len(name) + len(value))
			entries = append(entries, mailbox.MetadataEntry{Name: name, Value: value})
		}
		if refused != nil {
			s.sc.Fail("not read")
		}
	})
	if refused != nil {
		return refused
	}
	if n == 0 {
		s.sc.Fail("expected an entry")
	}
	if err := s.sc.End(); err != nil {
		return err
	}
	if c.name == "" {
		for _, e := range entries {
			if len(e.Name) > 8 && wire.EqualFold(e.Name[:8], "/shared/") {
				return no("NOPERM", "entries that all users share are the administrator's")
			}
			if err := checkFilter(e.Name, e.Value); err != nil {
				return err
			}
		}
	}
	if err := s.access.SetMetadata(ctx, c.name, s.need().named, s.need().shared, entries); err != nil {
		return err
	}
	if n := s.notify; n != nil && n.tree != nil {
		n.tree.OwnMetadata(c.name, entries)
	}
	return nil
}

// scanMetadataValue reads a value; refused is why it is not taken, which is not
// a matter of syntax.
//
//	value = nstring / literal8
func scanMetadataValue(sc *wire.Scanner, l mailbox.MetadataLimits, total int64) (value []byte, refused error) {
	tooBig := no(fmt.Sprintf("METADATA MAXSIZE %d", l.Value), "value too large")
	c := sc.Peek()
	if c != '{' && c != '~' {
		text, ok := sc.NString()
		switch {
		case !ok || sc.Err() != nil:
			return nil, nil
		case int64(len(text)) > l.Value:
			return nil, tooBig
		}
		return []byte(text), nil
	}
	lit := sc.LiteralReader(sc.Limits.Discard)
	switch syn := (*wire.SyntaxError)(nil); {
	case lit == nil && errors.As(sc.Err(), &syn) && syn.Code == "TOOBIG" && syn.Refused:
		return nil, tooBig
	case lit == nil:
		return nil, nil
	case lit.Size() > l.Value:
		return nil, tooBig
	case total+lit.Size() > l.Mailbox:
		return nil, no("METADATA TOOMANY", "too much at once")
	}
	value = make([]byte, 0, min(lit.Size(), 4096))
	var chunk [4096]byte
	for int64(len(value)) < lit.Size() {
		n, err := lit.Read(chunk[:])
		value = append(value, chunk[:n]...)
		if err != nil {
			return nil, err
		}
	}
	binary := lit.Binary()
	if err := lit.Close(); err != nil {
		return nil, nil // the Scanner has it
	}
	if !binary {
		for _, c := range value {
			if c == 0 {
				sc.Fail("NUL is not allowed")
			}
		}
	}
	return value, nil
}

// scanListMetadata reads the entries of the return option METADATA.
//
//	return-option =/ "METADATA" SP "(" entry *(SP entry) ")"
//
// RFC 9590 §5.
func scanListMetadata(sc *wire.Scanner) (entries []string) {
	sc.SP()
	if sc.List(func() { entries = append(entries, scanEntry(sc, len(entries))) }) == 0 {
		sc.Fail("expected an entry")
	}
	return entries
}

// listMetadata writes the annotations of a mailbox behind its LIST response; if
// they cannot be had there are none (RFC 9590 §3).
func (s *Session) listMetadata(ctx context.Context, name string, entries []string) {
	got, err := s.access.ListMetadata(ctx, name, needs["GETMETADATA"].named, entries)
	if errors.Is(err, mailbox.ErrPermission) {
		return
	}
	if err != nil {
		s.logger().Warn("no metadata in LIST", "user", s.user.Name, "error", err)
		return
	}
	s.writeMetadata(name, got)
}
