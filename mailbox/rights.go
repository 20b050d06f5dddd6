package mailbox

import (
	"strings"

	"roost/index"
)

// Rights is a set of rights on one mailbox (RFC 4314 §2.1).
type Rights uint16

// The rights.
const (
	RightLookup  Rights = 1 << iota // l: LIST shows it
	RightRead                       // r: SELECT, STATUS
	RightSeen                       // s: \Seen
	RightWrite                      // w: flags but \Seen and \Deleted
	RightInsert                     // i: APPEND, COPY into it
	RightPost                       // p: mail to it, which is not IMAP's
	RightCreate                     // k: CREATE below it
	RightDelete                     // x: DELETE, RENAME
	RightDeleted                    // t: \Deleted
	RightExpunge                    // e: EXPUNGE
	RightAdmin                      // a: the ACL itself
)

// AllRights is what the owner of a mailbox has, always.
const AllRights = RightAdmin<<1 - 1

// The virtual rights of RFC 4314 §2.1.1, for clients of RFC 2086: of the two
// readings the first.
const (
	rightsC = RightCreate | RightDelete
	rightsD = RightExpunge | RightDeleted
)

const (
	rightLetters = "lrswipkxtea"
	// FlagRights are the rights to change flags, which all users of a mailbox
	// share (RFC 4314 §5.2).
	FlagRights = RightSeen | RightWrite | RightDeleted
	// AnyRights are those of which one lets ask for one's rights (RFC 4314 §4).
	AnyRights = RightLookup | RightRead | RightInsert | RightCreate | RightDelete | RightAdmin
)

// ParseRights reads letters; c and d stand for their members. false: a letter is
// no right, or a capital.
func ParseRights(s string) (r Rights, ok bool) {
	for _, c := range []byte(s) {
		switch i := strings.IndexByte(rightLetters, c); {
		case i >= 0:
			r |= 1 << i
		case c == 'c':
			r |= rightsC
		case c == 'd':
			r |= rightsD
		default:
			return 0, false
		}
	}
	return r, true
}

// letters gives one letter for each right.
func (r Rights) letters() string {
	var b strings.Builder
	for i := range len(rightLetters) {
		if r&(1<<i) != 0 {
			b.WriteByte(rightLetters[i])
		}
	}
	return b.String()
}

// String gives the letters with the virtual rights that must be among them
// (RFC 4314 §2.1.1).
func (r Rights) String() string {
	s := r.letters()
	if r&rightsC != 0 {
		s += "c"
	}
	if r&rightsD != 0 {
		s += "d"
	}
	return s
}

// Has reports whether all of need are there.
func (r Rights) Has(need Rights) bool { return r&need == need }

// Flags are the system flags that may be changed; the rest of the bits says
// nothing. Keywords need RightWrite.
func (r Rights) Flags() index.Flags {
	var f index.Flags
	if r&RightSeen != 0 {
		f |= index.Seen
	}
	if r&RightDeleted != 0 {
		f |= index.Deleted
	}
	if r&RightWrite != 0 {
		f |= AllFlags &^ (index.Seen | index.Deleted)
	}
	return f
}

// meta leaves out the flags that may not be set (RFC 4314 §4).
func (r Rights) meta(m AppendMeta) AppendMeta {
	m.Flags &= r.Flags()
	if r&RightWrite == 0 {
		m.Keywords = nil
	}
	return m
}

// Anyone is the identifier that stands for every user (RFC 4314 §2).
const Anyone = "anyone"

// An acl is the access control list of one mailbox: identifiers to rights that
// are not empty. An identifier with a dash before it takes rights away. The
// owner is not in it.
type acl map[string]Rights

// of gives the rights of a user: those of all identifiers that mean the user,
// without those that a dash takes away.
func (l acl) of(user string) Rights {
	if strings.HasPrefix(user, "-") {
		user = Anyone // no identifier can mean such a user (RFC 4314 §2)
	}
	return (l[user] | l[Anyone]) &^ (l["-"+user] | l["-"+Anyone])
}
