package session

import (
	"context"
	"strings"

	"roost/mailbox"
)

// This file is which rights a command needs (RFC 4314 §4), as data. The owner of a
// mailbox has all of them, always. Beside it there is only what the flags need:
// "s" for \Seen, "t" for \Deleted and "w" for the others, without which STORE, COPY,
// APPEND and FETCH leave a flag as it is (mailbox.View, mailbox.Reach).

// A need is what one command needs.
type need struct {
	named    mailbox.Need // on the mailbox that it names, the old one of RENAME
	parent   mailbox.Need // on the nearest one above the name that it makes
	selected mailbox.Need // on the selected mailbox
	shared   mailbox.Need // on the named one beside named, for entries that all users share
}

// all and one are short for the table.
func all(r mailbox.Rights) mailbox.Need { return mailbox.Need{All: r} }
func one(r mailbox.Rights) mailbox.Need { return mailbox.Need{One: r} }

// annotated is RFC 5464 §3.3.
var annotated = mailbox.Need{
	All: mailbox.RightLookup,
	One: mailbox.RightRead | mailbox.RightSeen | mailbox.RightWrite | mailbox.RightInsert | mailbox.RightPost,
}

// removes is what takes messages out of the selected mailbox: STORE of \Deleted and
// EXPUNGE (RFC 6851 §4.2, RFC 8508 §4.1).
var removes = all(mailbox.RightDeleted | mailbox.RightExpunge)

// needs has a row for each command that needs a right; UID commands need what the
// others do. Commands without one, and why they need none, are in noNeeds.
var needs = map[string]need{
	"LIST":        {named: all(mailbox.RightLookup)}, // to be told; never a reason for NO
	"SUBSCRIBE":   {named: all(mailbox.RightLookup)}, // as if there were nothing
	"CREATE":      {parent: all(mailbox.RightCreate)},
	"DELETE":      {named: all(mailbox.RightDelete)},
	"RENAME":      {named: all(mailbox.RightDelete), parent: all(mailbox.RightCreate)},
	"SELECT":      {named: all(mailbox.RightRead)},
	"EXAMINE":     {named: all(mailbox.RightRead)},
	"STATUS":      {named: all(mailbox.RightRead)},
	"SETACL":      {named: all(mailbox.RightAdmin)},
	"DELETEACL":   {named: all(mailbox.RightAdmin)},
	"GETACL":      {named: all(mailbox.RightAdmin)},
	"LISTRIGHTS":  {named: all(mailbox.RightAdmin)},
	"MYRIGHTS":    {named: one(mailbox.AnyRights)},
	"APPEND":      {named: all(mailbox.RightInsert)},
	"COPY":        {named: all(mailbox.RightInsert)},
	"MOVE":        {named: all(mailbox.RightInsert), selected: removes},
	"REPLACE":     {named: all(mailbox.RightInsert), selected: removes},
	"EXPUNGE":     {selected: all(mailbox.RightExpunge)},
	"STORE":       {selected: one(mailbox.FlagRights)},
	"ESEARCH":     {named: all(mailbox.RightRead)},                       // RFC 7377 §2.2
	"NOTIFY":      {named: all(mailbox.RightLookup | mailbox.RightRead)}, // RFC 5465 §5
	"GETMETADATA": {named: annotated},
	"SETMETADATA": {named: annotated, shared: all(mailbox.RightWrite)},
	// GETQUOTA needs to know the root from GETQUOTAROOT (RFC 9208 §6).
	"GETQUOTAROOT": {named: all(mailbox.RightRead)},
	"GETQUOTA":     {named: all(mailbox.RightRead)},
	"SETQUOTA":     {named: all(mailbox.RightRead)}, // and to be the owner
	"CATENATE":     {named: all(mailbox.RightRead)}, // the mailboxes of its URLs (RFC 4469 §5)
}

// noNeeds are the commands that need no right: they name no mailbox, and what they
// need in the selected one was asked for by SELECT (RFC 4314 §4).
var noNeeds = []string{
	"CAPABILITY", "NOOP", "LOGOUT", "ID", "LANGUAGE", "STARTTLS", "AUTHENTICATE", "LOGIN", "ENABLE", "IDLE",
	"NAMESPACE", "COMPARATOR", "COMPRESS", "UNAUTHENTICATE", "CANCELUPDATE", "UIDBATCHES", "CHECK", "UNSELECT",
	"SEARCH", "SORT", "THREAD",
	"FETCH", // sets \Seen only with "s"
	"CLOSE", // expunges only with "e"
	"UNSUBSCRIBE", "LSUB",
}

// need is what the running command needs.
func (s *Session) need() need { return needs[strings.TrimPrefix(s.cmd.name, "UID ")] }

// reach opens the mailbox that the running command names.
func (s *Session) reach(ctx context.Context, name string) (*mailbox.Reach, error) {
	return s.access.Mailbox(ctx, name, s.need().named)
}

// permitted is why the running command may not be run in the selected mailbox; nil:
// it may.
func (s *Session) permitted() error {
	if s.view != nil && !s.need().selected.Met(s.view.Rights()) {
		return mailbox.ErrPermission
	}
	return nil
}
