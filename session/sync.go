package session

import (
	"context"

	"github.com/emersion/go-imap/v2"

	"roost/mailbox"
)

// sync moves the View on and tells the client, in the order of
// mailbox.Changes.
func (s *Session) sync(ctx context.Context, policy mailbox.Policy) error {
	followed := s.notify != nil || len(s.contexts) > 0
	s.view.WantNew(followed)
	ch, err := s.view.Sync(policy)
	if err != nil {
		return err
	}
	if ch.Keywords {
		s.writeFlagsInUse()
	}
	if s.wantsFlags() {
		for _, m := range ch.Flags {
			s.writeFlagNews(m)
		}
	}
	if followed {
		s.contextsGone(&ch)
	}
	s.writeExpunged(ch.Expunged)
	if ch.Exists {
		s.w.UntaggedNumber(uint64(s.view.Len()), "EXISTS")
	}
	if ch.Recent && !s.enabled.rev2 {
		s.w.UntaggedNumber(uint64(s.view.Recent()), "RECENT") // RFC 3501 §7.3.2
	}
	if followed {
		err = s.follow(ctx, &ch)
	}
	if ch.Exists && s.enabled.qresync && s.wantsFlags() && s.cmd.later == nil && err == nil {
		// EXISTS tells no mod-sequence, and a client that comes back with an older
		// one gets the flags of the new messages again (RFC 7162 §3.2.5).
		s.writeNumberCode("HIGHESTMODSEQ", uint64(s.view.HighestModSeq()), "highest mod-sequence")
	}
	return err
}

// writeFlagsInUse writes FLAGS and PERMANENTFLAGS (RFC 9051 §7.3.5, §7.1).
func (s *Session) writeFlagsInUse() {
	s.w.Untagged()
	s.w.Raw("FLAGS ")
	s.w.Open()
	s.writeKnownFlags(mailbox.AllRights)
	s.w.Close()
	s.w.CRLF()
	s.w.Untagged()
	s.w.Raw("OK [PERMANENTFLAGS ")
	s.w.Open()
	if rights := s.view.Rights(); !s.view.ReadOnly() { // RFC 4314 §5.1.1
		s.writeKnownFlags(rights)
		if !s.view.KeywordsFull() && rights.Has(mailbox.RightWrite) {
			s.w.Item()
			s.w.Flag(imap.FlagWildcard)
		}
	}
	s.w.Close()
	s.w.Raw("] Flags permitted")
	s.w.CRLF()
}

// writeKnownFlags writes those that can be changed with rights.
func (s *Session) writeKnownFlags(rights mailbox.Rights) {
	for i, f := range mailbox.FlagNames {
		if rights.Flags()&(1<<i) != 0 {
			s.w.Item()
			s.w.Flag(f)
		}
	}
	if !rights.Has(mailbox.RightWrite) {
		return
	}
	for _, k := range s.view.Keywords() {
		s.w.Item()
		s.w.Atom(k)
	}
}

// writeFetchFlags writes a FETCH response of this command that tells the flags
// of m. A UID command has the UID in it (RFC 9051 §6.4.9).
func (s *Session) writeFetchFlags(m mailbox.Message) { s.writeFlagsOf(m, s.cmd.uid()) }

// writeFlagNews writes what another one did to the flags of m. No command of the
// client is the cause, and no UID belongs into it: mbsync takes each FETCH with
// a UID that comes in its UID FETCH for an answer, this message for one of its
// range, and all before it for known.
func (s *Session) writeFlagNews(m mailbox.Message) { s.writeFlagsOf(m, false) }

// writeFlagsOf writes a FETCH response with flags. RFC 9051 §7.5.2, RFC 5465
// §5.1 and, with QRESYNC, RFC 7162 §3.2.4 want the UID in it; with CONDSTORE
// alone it does no harm.
func (s *Session) writeFlagsOf(m mailbox.Message, withUID bool) {
	s.beginFetch(m)
	if withUID || s.enabled.rev2 || s.enabled.condstore || s.notify != nil {
		s.fetchUID(m)
	}
	s.writeFlags(m)
	if s.enabled.condstore {
		s.writeModSeq(m.ModSeq)
	}
	s.w.Raw(")")
	s.w.CRLF()
}

// beginFetch begins a FETCH response up to its parenthesis: a UIDFETCH response
// for a client that wants no message numbers (RFC 9586 §3.3).
func (s *Session) beginFetch(m mailbox.Message) {
	s.w.Untagged()
	if s.enabled.uidOnly {
		s.w.Number(uint64(m.UID))
		s.w.Raw(" UIDFETCH ")
	} else {
		s.w.Number(uint64(m.Seq))
		s.w.Raw(" FETCH ")
	}
	s.w.Open()
}

// fetchUID writes the item UID with a space behind it, unless the response has
// it at its beginning.
func (s *Session) fetchUID(m mailbox.Message) {
	if s.enabled.uidOnly {
		return
	}
	s.w.Raw("UID ")
	s.w.Number(uint64(m.UID))
	s.w.SP()
}

// writeModSeq writes the item MODSEQ with a space before it.
func (s *Session) writeModSeq(n mailbox.ModSeq) {
	s.w.Raw(" MODSEQ (")
	s.w.Number(uint64(n))
	s.w.Raw(")")
}

// flagItems are the items FLAGS of messages without keywords but for the `)`,
// by the bits of the flags and \Recent.
var flagItems = func() (t [2 * (mailbox.AllFlags + 1)]string) {
	for i := range t {
		s, sep := "FLAGS (", ""
		for bit, name := range mailbox.FlagNames {
			if i&(1<<bit) != 0 {
				s += sep + string(name)
				sep = " "
			}
		}
		if i > int(mailbox.AllFlags) {
			s += sep + `\Recent`
		}
		t[i] = s
	}
	return t
}()

// writeFlags writes the item FLAGS of m. IMAP4rev2 has no \Recent.
func (s *Session) writeFlags(m mailbox.Message) {
	i := int(m.Flags & mailbox.AllFlags)
	if m.Recent && !s.enabled.rev2 {
		i += int(mailbox.AllFlags) + 1
	}
	s.w.Raw(flagItems[i])
	if m.Keywords != 0 {
		for _, k := range s.view.KeywordNames(m.Keywords) {
			if i != 0 {
				s.w.SP()
			}
			i = 1
			s.w.Atom(k)
		}
	}
	s.w.Raw(")")
}

// writeExpunged tells of expunged messages, given in descending order.
func (s *Session) writeExpunged(gone []mailbox.Expunged) {
	if len(gone) == 0 {
		return
	}
	if !s.enabled.qresync && !s.enabled.uidOnly { // RFC 9586 §3.4
		for _, e := range gone {
			s.w.UntaggedNumber(uint64(e.Seq), "EXPUNGE")
		}
		return
	}
	// RFC 7162 §3.2.10.2
	s.w.Untagged()
	s.w.Raw("VANISHED ")
	for i := len(gone) - 1; i >= 0; {
		first := gone[i].UID
		last := first
		for i--; i >= 0 && gone[i].UID == last+1; i-- {
			last++
		}
		s.w.Range(uint32(first), uint32(last))
		if i >= 0 {
			s.w.Raw(",")
		}
	}
	s.w.CRLF()
}
