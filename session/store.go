package session

import (
	"context"
	"slices"
	"strings"

	"github.com/emersion/go-imap/v2"

	"roost/mailbox"
	"roost/wire"
)

// This file is STORE and UID STORE (RFC 9051 §6.4.6, §6.4.9; conditional:
// RFC 7162 §3.1.3; over messages that are gone: RFC 2180 §4.2).

// storeCmd is STORE or UID STORE.
type storeCmd struct {
	set    msgSet
	mode   mailbox.StoreMode
	silent bool
	flags  []imap.Flag
	// unchangedSince is nil for an unconditional STORE.
	unchangedSince *mailbox.ModSeq
}

func parseStore(sc *wire.Scanner) (runner, error)    { return scanStore(sc, false) }
func parseUIDStore(sc *wire.Scanner) (runner, error) { return scanStore(sc, true) }

// scanStore reads
//
//	store           = "STORE" SP sequence-set [store-modifiers] SP store-att-flags
//	store-modifiers = SP "(" store-modifier *(SP store-modifier) ")"
//	store-att-flags = (["+" / "-"] "FLAGS" [".SILENT"]) SP (flag-list / (flag *(SP flag)))
func scanStore(sc *wire.Scanner, uid bool) (*storeCmd, error) {
	var c storeCmd
	sc.SP()
	c.set = scanMsgSet(sc, uid)
	sc.SP()
	if sc.Peek() == '(' {
		c.scanModifiers(sc)
		sc.SP()
	}
	switch {
	case sc.Take('+'):
		c.mode = mailbox.StoreAdd
	case sc.Take('-'):
		c.mode = mailbox.StoreRemove
	}
	switch sc.Name() {
	case "FLAGS":
	case "FLAGS.SILENT":
		c.silent = true
	default:
		sc.Fail("unknown data item")
	}
	sc.SP()
	c.flags = sc.Flags()
	return &c, sc.End()
}

// scanModifiers reads the modifiers of STORE.
//
//	store-modifier = "UNCHANGEDSINCE" SP mod-sequence-valzer
func (c *storeCmd) scanModifiers(sc *wire.Scanner) {
	n := sc.List(func() {
		if sc.Name() != "UNCHANGEDSINCE" || c.unchangedSince != nil {
			sc.Fail("unknown or repeated STORE modifier")
			return
		}
		sc.SP()
		since := mailbox.ModSeq(sc.Number64())
		c.unchangedSince = &since
	})
	if n == 0 {
		sc.Fail("empty list of STORE modifiers")
	}
}

func (c *storeCmd) run(ctx context.Context, s *Session) error {
	op, err := s.storeOp(c.flags)
	if err != nil {
		return err
	}
	op.Mode, op.UnchangedSince = c.mode, c.unchangedSince
	msgs, err := s.resolve(c.set)
	if err != nil {
		return err
	}
	if s.view.ReadOnly() {
		return mailbox.ErrReadOnly
	}
	if c.unchangedSince != nil {
		s.enableCondstore()
	}
	if len(msgs) == 0 {
		return nil
	}
	msgs, lowest := s.limited(msgs)
	res, err := s.view.Store(ctx, msgs, op)
	if err != nil {
		return err
	}
	if s.view.KeywordsGrew() {
		s.writeFlagsInUse()
	}
	for _, m := range res.Stored {
		switch {
		case !c.silent:
			s.writeFetchFlags(m)
		case c.unchangedSince != nil, s.enabled.condstore && res.Changed:
			s.writeFetchModSeq(m) // the client must know it to go on from there
		}
	}
	for n := range res.Modified.All() {
		s.writeFetchFlags(s.view.Message(n)) // why it failed
	}
	return s.partly(c.result(s, &op, &res), lowest)
}

// result tells what could not be stored.
func (c *storeCmd) result(s *Session, op *mailbox.StoreOp, res *mailbox.StoreResult) error {
	code := ""
	if len(res.Modified) > 0 {
		code = "MODIFIED " + s.numbers(res.Modified)
	}
	if c.silent || len(res.Expunged) == 0 {
		if code == "" {
			return nil
		}
		return s.ok(code, "conditional STORE failed")
	}
	for n := range res.Expunged.All() {
		s.writeFlagsAfter(s.view.Message(n), op)
	}
	if code == "" {
		code = "EXPUNGEISSUED"
	}
	return no(code, "some of the messages no longer exist")
}

// numbers writes msgs as the client named messages in the running command:
// message numbers or UIDs.
func (s *Session) numbers(msgs mailbox.Seqs) string {
	if !s.cmd.uid() {
		var set imap.SeqSet
		for _, r := range msgs {
			set = append(set, imap.SeqRange{Start: uint32(r.First), Stop: uint32(r.Last)})
		}
		return set.String()
	}
	uids := make([]imap.UID, 0, msgs.Len())
	for n := range msgs.All() {
		uids = append(uids, s.view.UID(n))
	}
	return string(wire.AppendUIDs(nil, uids))
}

// writeFetchModSeq writes a FETCH response that tells the mod-sequence of m.
func (s *Session) writeFetchModSeq(m mailbox.Message) {
	s.beginFetch(m)
	s.fetchUID(m)
	s.w.Raw("MODSEQ (")
	s.w.Number(uint64(m.ModSeq))
	s.w.Raw("))")
	s.w.CRLF()
}

// writeFlagsAfter tells the flags of m, which is gone, as they would be after
// op: the client asked to hear of them, and hears of the rest at its next
// command that may tell.
func (s *Session) writeFlagsAfter(m mailbox.Message, op *mailbox.StoreOp) {
	names := s.view.KeywordNames(m.Keywords)
	switch op.Mode {
	case mailbox.StoreAdd:
		m.Flags |= op.Flags
		names = slices.Clone(names)
		for _, k := range op.Keywords {
			if !containsFold(names, k) {
				names = append(names, k)
			}
		}
	case mailbox.StoreRemove:
		m.Flags &^= op.Flags
		names = slices.DeleteFunc(slices.Clone(names), func(k string) bool { return containsFold(op.Keywords, k) })
	default:
		m.Flags, names = op.Flags, op.Keywords
	}
	s.beginFetch(m)
	s.fetchUID(m)
	s.w.Raw("FLAGS ")
	s.w.Open()
	for i, f := range mailbox.FlagNames {
		if m.Flags&(1<<i) != 0 {
			s.w.Item()
			s.w.Flag(f)
		}
	}
	for _, k := range names {
		s.w.Item()
		s.w.Atom(k)
	}
	s.w.Close()
	if s.enabled.condstore {
		s.writeModSeq(m.ModSeq)
	}
	s.w.Raw(")")
	s.w.CRLF()
}

func containsFold(names []string, name string) bool {
	return slices.ContainsFunc(names, func(s string) bool { return wire.EqualFold(s, name) })
}

// storeOp sorts flags as a client names them (RFC 9051 §2.3.2): system flags in
// any case, keywords without duplicates. \Recent cannot be set.
func (s *Session) storeOp(flags []imap.Flag) (mailbox.StoreOp, error) {
	var op mailbox.StoreOp
	for _, f := range flags {
		if strings.HasPrefix(string(f), `\`) {
			bit := slices.IndexFunc(mailbox.FlagNames[:], func(name imap.Flag) bool {
				return wire.EqualFold(string(name), string(f))
			})
			if bit < 0 {
				return op, bad("unknown system flag, or one that cannot be set")
			}
			op.Flags |= 1 << bit
			continue
		}
		if len(f) > s.opt.Limits.KeywordLength {
			return op, no("LIMIT", "keyword too long")
		}
		if !containsFold(op.Keywords, string(f)) {
			op.Keywords = append(op.Keywords, string(f))
		}
	}
	return op, nil
}
