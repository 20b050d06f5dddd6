package session

import "context"

// runNamespace is NAMESPACE (RFC 9051 §6.3.10, RFC 2342): one personal
// namespace, and where mailboxes are shared that of other users.
//
//	namespace-response = "*" SP "NAMESPACE" SP namespace SP namespace SP namespace
//	namespace          = nil / "(" 1*namespace-descr ")"
//	namespace-descr    = "(" string SP (DQUOTE QUOTED-CHAR DQUOTE / nil) ... ")"
func runNamespace(_ context.Context, s *Session) error {
	s.w.Untagged()
	s.w.Raw("NAMESPACE ((")
	s.w.MailboxString(s.account.Prefix())
	s.w.SP()
	s.w.String(string(s.account.Separator()))
	s.w.Raw(")) ")
	if others := s.access.SharedPrefix(); others != "" {
		s.w.Raw("((")
		s.w.MailboxString(others)
		s.w.SP()
		s.w.String(string(s.account.Separator()))
		s.w.Raw("))")
	} else {
		s.w.Raw("NIL")
	}
	s.w.Raw(" NIL")
	s.w.CRLF()
	return nil
}
