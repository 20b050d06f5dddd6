package session

import (
	"context"

	"roost/mailbox"
	"roost/wire"
)

// A state is one of RFC 9051 §3; a set of them says where a command is allowed.
type state uint8

const (
	notAuthenticated state = 1 << iota
	authenticated
	selected

	anyState     = notAuthenticated | authenticated | selected
	loggedIn     = authenticated | selected
	syncNothing  = mailbox.SyncNothing
	noExpunge    = mailbox.SyncNoExpunge
	everything   = mailbox.SyncEverything
	ownsExpunges = true
)

// A command is one row of the table.
type command struct {
	states state
	// sync is what the end of the command may report of the selected mailbox.
	// EXPUNGE is held back also while more commands wait to be read, unless
	// own: the command itself expunges, and its client expects to be told.
	sync mailbox.Policy
	own  bool
	// numbers says that its arguments name messages by their numbers: it is
	// refused once UIDONLY is enabled (RFC 9586 §3.2, §3.8).
	numbers bool
	// secret keeps the arguments out of every log.
	secret bool
	// parse reads the arguments. It sees bytes and no session state. Its errors
	// are those of the Scanner, whose End it must have called, unless the
	// runner goes on reading (APPEND): then that calls it.
	parse func(sc *wire.Scanner) (runner, error)
}

// A runner is a command with its arguments, ready to run in the session.
type runner interface {
	// run does the command and writes its untagged responses to s.w. nil is
	// answered with OK, with the code and text of s.ok if that was called; an
	// error as errors.go says. It must not flush, nor write the tagged line.
	run(ctx context.Context, s *Session) error
}

// A policied runner knows from its arguments that less may be reported than its
// row says: UID SEARCH with message numbers (RFC 7162 §3.2.10.2).
type policied interface {
	policy() mailbox.Policy
}

// A runFunc is a runner without arguments.
type runFunc func(ctx context.Context, s *Session) error

func (f runFunc) run(ctx context.Context, s *Session) error { return f(ctx, s) }

// noArgs is the parse of a command without arguments.
func noArgs(run runFunc) func(*wire.Scanner) (runner, error) {
	return func(sc *wire.Scanner) (runner, error) { return run, sc.End() }
}

// commands lists every command with the rules that RFC 9051 §5.5 and §7.5.1 put
// on it. Policy is data: no runner decides about EXPUNGE itself.
var commands = map[string]command{
	// RFC 9051 §6.1, any state
	"CAPABILITY": {states: anyState, sync: everything, parse: noArgs(runCapability)},
	"NOOP":       {states: anyState, sync: everything, parse: noArgs(runNoop)},
	"LOGOUT":     {states: anyState, sync: syncNothing, parse: noArgs(runLogout)},
	"ID":         {states: anyState, sync: everything, parse: parseID}, // RFC 2971

	"LANGUAGE": {states: anyState, sync: everything, parse: parseLanguage}, // RFC 5255 §3.2

	// RFC 9051 §6.2, not authenticated
	"STARTTLS":     {states: notAuthenticated, parse: noArgs(runStartTLS)},
	"AUTHENTICATE": {states: notAuthenticated, secret: true, parse: parseAuthenticate},
	"LOGIN":        {states: notAuthenticated, secret: true, parse: parseLogin},

	// RFC 9051 §6.3, authenticated
	"ENABLE":  {states: loggedIn, sync: everything, parse: parseEnable},
	"SELECT":  {states: loggedIn, sync: syncNothing, parse: parseSelect},
	"EXAMINE": {states: loggedIn, sync: syncNothing, parse: parseExamine},
	"IDLE":    {states: loggedIn, sync: everything, parse: noArgs(runIdle)},
	"NOTIFY":  {states: loggedIn, sync: everything, parse: parseNotify}, // RFC 5465

	"CREATE":      {states: loggedIn, sync: everything, parse: parseCreate},
	"DELETE":      {states: loggedIn, sync: everything, parse: oneName(runDelete)},
	"RENAME":      {states: loggedIn, sync: everything, parse: parseRename},
	"SUBSCRIBE":   {states: loggedIn, sync: everything, parse: oneName(runSubscribe)},
	"UNSUBSCRIBE": {states: loggedIn, sync: everything, parse: oneName(runUnsubscribe)},
	"LIST":        {states: loggedIn, sync: everything, parse: parseList},
	"LSUB":        {states: loggedIn, sync: everything, parse: parseLsub},            // RFC 3501 §6.3.9
	"NAMESPACE":   {states: loggedIn, sync: everything, parse: noArgs(runNamespace)}, // RFC 2342 too
	"STATUS":      {states: loggedIn, sync: everything, parse: parseStatus},

	"ESEARCH": {states: loggedIn, sync: everything, parse: parseMultiSearch}, // RFC 7377

	"COMPARATOR": {states: loggedIn, sync: everything, parse: parseComparator}, // RFC 5255 §4.7

	"APPEND": {states: loggedIn, sync: everything, parse: parseAppend}, // RFC 9051 §6.3.12

	"COMPRESS":       {states: loggedIn, sync: syncNothing, parse: parseCompress},             // RFC 4978
	"UNAUTHENTICATE": {states: loggedIn, sync: syncNothing, parse: noArgs(runUnauthenticate)}, // RFC 8437

	"GETMETADATA":  {states: loggedIn, sync: everything, parse: parseGetMetadata}, // RFC 5464
	"SETMETADATA":  {states: loggedIn, sync: everything, parse: parseSetMetadata},
	"GETACL":       {states: loggedIn, sync: everything, parse: oneName(runGetACL)}, // RFC 4314
	"SETACL":       {states: loggedIn, sync: everything, parse: parseSetACL},
	"DELETEACL":    {states: loggedIn, sync: everything, parse: parseACL(runDeleteACL)},
	"LISTRIGHTS":   {states: loggedIn, sync: everything, parse: parseACL(runListRights)},
	"MYRIGHTS":     {states: loggedIn, sync: everything, parse: oneName(runMyRights)},
	"GETQUOTA":     {states: loggedIn, sync: everything, parse: parseGetQuota}, // RFC 9208
	"GETQUOTAROOT": {states: loggedIn, sync: everything, parse: parseGetQuotaRoot},
	"SETQUOTA":     {states: loggedIn, sync: everything, parse: parseSetQuota},

	// RFC 9051 §6.4, selected
	"UIDBATCHES":   {states: selected, sync: everything, parse: parseUIDBatches},  // RFC 10022
	"CHECK":        {states: selected, sync: everything, parse: noArgs(runCheck)}, // RFC 3501 §6.4.1
	"CLOSE":        {states: selected, sync: syncNothing, parse: noArgs(runClose)},
	"UNSELECT":     {states: selected, sync: syncNothing, parse: noArgs(runUnselect)},
	"EXPUNGE":      {states: selected, sync: everything, own: ownsExpunges, parse: noArgs(runExpunge)},
	"UID EXPUNGE":  {states: selected, sync: everything, own: ownsExpunges, parse: parseUIDExpunge},
	"SEARCH":       {states: selected, sync: noExpunge, numbers: true, parse: parseSearch},
	"CANCELUPDATE": {states: selected, sync: everything, parse: parseCancelUpdate}, // RFC 5267 §4.3.5
	"UID SEARCH":   {states: selected, sync: everything, parse: parseUIDSearch},
	"SORT":         {states: selected, sync: noExpunge, numbers: true, parse: parseSort}, // RFC 5256
	"UID SORT":     {states: selected, sync: everything, parse: parseUIDSort},
	"THREAD":       {states: selected, sync: noExpunge, numbers: true, parse: parseThread}, // RFC 5256
	"UID THREAD":   {states: selected, sync: everything, parse: parseUIDThread},
	"FETCH":        {states: selected, sync: noExpunge, numbers: true, parse: parseFetch},
	"UID FETCH":    {states: selected, sync: everything, parse: parseUIDFetch},
	"STORE":        {states: selected, sync: noExpunge, numbers: true, parse: parseStore},
	"UID STORE":    {states: selected, sync: everything, parse: parseUIDStore},
	"COPY":         {states: selected, sync: everything, numbers: true, parse: parseCopy},
	"UID COPY":     {states: selected, sync: everything, parse: parseUIDCopy},
	"MOVE":         {states: selected, sync: everything, own: ownsExpunges, numbers: true, parse: parseMove},    // RFC 6851
	"REPLACE":      {states: selected, sync: everything, own: ownsExpunges, numbers: true, parse: parseReplace}, // RFC 8508
	"UID REPLACE":  {states: selected, sync: everything, own: ownsExpunges, parse: parseUIDReplace},
	"UID MOVE":     {states: selected, sync: everything, own: ownsExpunges, parse: parseUIDMove},
}
