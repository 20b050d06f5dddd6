package mailbox

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/emersion/go-imap/v2"
	"golang.org/x/text/unicode/norm"

	"roost/maildir"
)

// An Access is what one user reaches by name: the mailboxes of the own account,
// with all rights, and below Options.Shared.Prefix those of other users, with the
// rights that their owners have given (RFC 4314).
//
// A mailbox of another user on which the right that is needed is missing is
// ErrPermission to who has the right "l", and does not exist for who has not
// (RFC 4314 §6): both go through denied.
type Access struct {
	a    *Account
	user string
	s    *sharing // nil: nothing is shared
}

// Access gives what user, whose account a is, reaches. It holds nothing.
func (a *Account) Access(user string) *Access {
	return &Access{a: a, user: user, s: a.st.sharing}
}

// User is the name of the user.
func (x *Access) User() string { return x.user }

// SharedPrefix is what the names of other users' mailboxes begin with; "": there
// are none.
func (x *Access) SharedPrefix() string {
	if x.s == nil {
		return ""
	}
	return x.s.o.Prefix
}

// A place is what a name means: a mailbox of an account that may not exist.
type place struct {
	a     *Account
	m     maildir.Mailbox // as in the account; nil: outside of all accounts
	guest string          // "": the account is the user's own
}

func (p *place) release() {
	if p.guest != "" && p.a != nil {
		p.a.Release()
	}
}

// others reports whether name is one of those of other users, or a level above
// them.
func (x *Access) others(name string) bool {
	if x.s == nil {
		return false
	}
	name = norm.NFC.String(name)
	return name == x.s.top() || strings.HasPrefix(name, x.s.o.Prefix)
}

// place finds out what name means; release it. Errors: ErrName, ErrNotExist,
// ErrUnavailable.
func (x *Access) place(ctx context.Context, name string) (place, error) {
	if !x.others(name) {
		m, err := x.a.names.parse(name)
		return place{a: x.a, m: m}, err
	}
	return x.placeOfOther(ctx, name)
}

func (x *Access) placeOfOther(ctx context.Context, name string) (place, error) {
	m, err := maildir.ParseMailbox(name, x.a.names.sep)
	if err != nil {
		return place{}, fmt.Errorf("%w: %w", ErrName, err)
	}
	rest := m[min(len(x.s.levels), len(m)):]
	if len(rest) == 0 {
		return place{}, ErrNotExist
	}
	owner, ok := x.s.ownerOf(rest[0])
	if !ok || owner == x.user {
		return place{}, ErrNotExist
	}
	inside := maildir.Mailbox{maildir.Inbox}
	if len(rest) > 1 {
		inside = slices.Clone(rest[1:])
		for i, level := range inside {
			inside[i] = x.a.names.unhide(level)
		}
		// INBOX is called as its owner.
		if len(inside) == 1 && strings.EqualFold(inside[0], maildir.Inbox) {
			return place{}, ErrNotExist
		}
	}
	a, err := x.owner(ctx, owner)
	if err != nil {
		return place{}, err
	}
	return place{a: a, m: inside, guest: x.user}, nil
}

// owner opens the account of another user who has given something to this one;
// release it. Nobody else's is opened.
func (x *Access) owner(ctx context.Context, owner string) (*Account, error) {
	if err := x.s.look(ctx); err != nil {
		return nil, err
	}
	given := x.s.given(owner, x.user)
	if given == 0 {
		return nil, ErrNotExist
	}
	u, err := x.s.o.Find(owner)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotExist, err)
	}
	a, err := x.a.st.openFor(ctx, u, true)
	switch {
	case err == nil && a != x.a:
		return a, nil
	case err == nil: // another name of this user
		a.Release()
		return nil, ErrNotExist
	case ctx.Err() != nil:
		return nil, ctx.Err()
	}
	x.a.log.Warn("mailboxes of another user are not available", "owner", owner, "err", err)
	if given&RightLookup == 0 {
		return nil, ErrNotExist
	}
	return nil, fmt.Errorf("%w: %w", ErrUnavailable, diskErr(err))
}

// A Need is what must be held of a mailbox: all of All, and of One, unless it is
// empty, at least one.
type Need struct{ All, One Rights }

// Met reports whether r is enough.
func (n Need) Met(r Rights) bool { return r.Has(n.All) && (n.One == 0 || r&n.One != 0) }

// denied is the answer to who lacks a right.
func denied(r Rights) error {
	if r&RightLookup == 0 {
		return ErrNotExist
	}
	return ErrPermission
}

// rights are those of the user on the mailbox of p at path, before it is loaded.
func (p *place) rights(path string) (r Rights) {
	if p.guest == "" {
		return AllRights
	}
	p.a.file.view(func(st *accountState) { r = st.rightsAt(path, p.guest) })
	return r
}

// find gives the path of an existing mailbox and the rights there, if need is
// met.
func (p *place) find(need Need) (string, Rights, error) {
	path, err := p.a.findMailbox(p.m)
	if p.guest != "" && (errors.Is(err, ErrName) || errors.Is(err, ErrNotSelectable)) {
		err = ErrNotExist
	}
	if err != nil {
		return "", 0, err
	}
	r := p.rights(path)
	if !need.Met(r) {
		return "", 0, denied(r)
	}
	return path, r, nil
}

// A Reach is a live mailbox and what the user may do there; Release it.
type Reach struct {
	*Mailbox
	Rights Rights
	guest  string
}

// Mailbox gives the live mailbox called name, if need is met. Errors:
// ErrNotExist, ErrNotSelectable, ErrPermission, ErrUnavailable, ErrName.
func (x *Access) Mailbox(ctx context.Context, name string, need Need) (*Reach, error) {
	p, err := x.place(ctx, name)
	if err != nil {
		return nil, err
	}
	defer p.release()
	return p.open(ctx, need)
}

func (p *place) open(ctx context.Context, need Need) (*Reach, error) {
	path, r, err := p.find(need)
	if err != nil {
		return nil, err
	}
	mb, err := p.a.mailboxAt(ctx, path)
	if err != nil {
		if errors.Is(err, ctx.Err()) {
			return nil, err
		}
		return nil, fmt.Errorf("mailbox: open: %w", treeErr(err))
	}
	if p.guest != "" {
		// Another directory may be there than roost.account knew of.
		if r = p.a.rightsOn(mb.index().ID(), p.guest); !need.Met(r) {
			mb.Release()
			return nil, denied(r)
		}
	}
	return &Reach{Mailbox: mb, Rights: r, guest: p.guest}, nil
}

// account is that of a mailbox that an account has opened.
func (mb *Mailbox) account() *Account {
	if s, ok := mb.o.Slot.(*slot); ok {
		return s.a
	}
	return nil
}

// Open is Mailbox.Open with the rights of the user. Who may neither add nor
// change anything has it read-only (RFC 4314 §5.2).
func (r *Reach) Open(ctx context.Context, readOnly bool, b *Barrier) (*View, error) {
	if r.guest == "" {
		return r.Mailbox.Open(ctx, readOnly, b)
	}
	if r.Rights&(FlagRights|RightInsert|RightExpunge) == 0 {
		readOnly = true
	}
	a, id := r.account(), r.index().ID()
	return r.openView(ctx, readOnly, b, r.guest, func() Rights { return a.rightsOn(id, r.guest) })
}

// ClientKnows is Mailbox.ClientKnows; a guest is not believed: everybody's clients
// would read everything again.
func (r *Reach) ClientKnows(uid imap.UID, modSeq ModSeq) {
	if r.guest == "" {
		r.Mailbox.ClientKnows(uid, modSeq)
	}
}

// NewAppend is Mailbox.NewAppend; flags that the user may not set are left out
// (RFC 4314 §4).
func (r *Reach) NewAppend(ctx context.Context) (*Append, error) {
	ap, err := r.Mailbox.NewAppend(ctx)
	if err == nil {
		ap.rights = r.Rights
	}
	return ap, err
}

// NameOf is the name that the user knows mb by, now.
func (x *Access) NameOf(mb *Mailbox) string {
	s, ok := mb.o.Slot.(*slot)
	if !ok {
		return ""
	}
	if s.a == x.a {
		return s.a.nameOf(s.path())
	}
	m, err := s.a.names.layout.Mailbox(parts(s.path()))
	if err != nil {
		return s.path()
	}
	return x.nameIn(s.a, m)
}

// nameIn is the name of a mailbox of another user.
func (x *Access) nameIn(a *Account, m maildir.Mailbox) string {
	name := x.s.o.Prefix + x.s.nameOf(a.user)
	if m.IsInbox() {
		return name
	}
	for _, level := range m {
		name += string(a.names.sep) + a.names.hide(level)
	}
	return name
}

// Status is Account.Status.
func (x *Access) Status(ctx context.Context, name string, need Need, items StatusItems, b *Barrier) (Status, error) {
	p, err := x.place(ctx, name)
	if err != nil {
		return Status{}, err
	}
	defer p.release()
	return statusThrough(ctx, func() (*Reach, error) { return p.open(ctx, need) }, items, b)
}

// Watch is Account.Watch.
func (x *Access) Watch(ctx context.Context, name string, need Need, wake func(), b *Barrier) (*Watch, Pulse, error) {
	r, err := x.Mailbox(ctx, name, need)
	if err != nil {
		return nil, Pulse{}, err
	}
	return r.watch(ctx, wake, b)
}

// MyRights gives the rights of the user on a mailbox.
func (x *Access) MyRights(ctx context.Context, name string, need Need) (Rights, error) {
	p, err := x.place(ctx, name)
	if err != nil {
		return 0, err
	}
	defer p.release()
	_, r, err := p.find(need)
	return r, err
}

// ACL gives the list of a mailbox, its owner first.
func (x *Access) ACL(ctx context.Context, name string, need Need) ([]ACLEntry, error) {
	p, err := x.place(ctx, name)
	if err != nil {
		return nil, err
	}
	defer p.release()
	path, _, err := p.find(need)
	if err != nil {
		return nil, err
	}
	return p.a.aclAt(ctx, path)
}

// SetACL changes the rights of an identifier; durable on return. Errors: those of
// Mailbox, ErrOwnerRights, ErrLimit.
func (x *Access) SetACL(ctx context.Context, name string, need Need, identifier string, mode RightsMode, r Rights) error {
	p, err := x.place(ctx, name)
	if err != nil {
		return err
	}
	defer p.release()
	path, _, err := p.find(need)
	if err != nil {
		return err
	}
	return p.a.setACLAt(ctx, path, identifier, mode, r)
}

// Owner is the owner of a mailbox, as ACL gives it.
func (x *Access) Owner(ctx context.Context, name string, need Need) (string, error) {
	p, err := x.place(ctx, name)
	if err != nil {
		return "", err
	}
	defer p.release()
	if _, _, err := p.find(need); err != nil {
		return "", err
	}
	return p.a.user, nil
}

// Subscribe is Account.Subscribe; the subscription is the user's own. Any name of
// other users may be unsubscribed, only one that can be seen subscribed.
func (x *Access) Subscribe(ctx context.Context, name string, need Need, on bool) error {
	if !x.others(name) {
		return x.a.Subscribe(ctx, name, on)
	}
	m, err := maildir.ParseMailbox(name, x.a.names.sep)
	if err != nil {
		return fmt.Errorf("mailbox: subscribe: %w: %w", ErrName, err)
	}
	if on {
		p, err := x.placeOfOther(ctx, name)
		if err != nil {
			return err
		}
		defer p.release()
		if _, _, err := p.find(need); err != nil {
			return ErrNotExist
		}
	}
	if err := x.a.subscribe(ctx, m, on); err != nil {
		return err
	}
	return nil
}

// errElsewhere is for names between the accounts.
var errElsewhere = fmt.Errorf("outside the mailboxes of a user: %w", ErrPermission)

// Create is Account.Create. In the account of another user it needs parent on the
// nearest mailbox above, INBOX being above all; without that ErrPermission says
// nothing of what exists.
func (x *Access) Create(ctx context.Context, name string, parent Need, use []imap.MailboxAttr) (id string, err error) {
	name = strings.TrimSuffix(name, string(x.a.names.sep))
	if !x.others(name) {
		return x.a.Create(ctx, name, use)
	}
	p, err := x.target(ctx, name, parent)
	if err != nil {
		return "", err
	}
	defer p.release()
	if len(use) > 0 {
		return "", fmt.Errorf("mailbox: create: special uses are the owner's: %w", ErrUseAttr)
	}
	id, err = p.a.createFor(ctx, p.m, nil, p.guest)
	return id, p.conflict(err)
}

// target is the place of a mailbox of another user that is to be made.
func (x *Access) target(ctx context.Context, name string, parent Need) (place, error) {
	p, err := x.placeOfOther(ctx, name)
	switch {
	case errors.Is(err, ErrNotExist):
		return place{}, errElsewhere
	case err != nil:
		return place{}, err
	}
	path, _ := p.a.nearest(p.m, p.guest)
	if p.m.IsInbox() || !parent.Met(p.rights(path)) {
		p.release()
		return place{}, errElsewhere
	}
	return p, nil
}

// conflict hides what is in the way from who does not see it.
func (p *place) conflict(err error) error {
	if err == nil || p.guest == "" || !errors.Is(err, ErrExist) {
		return err
	}
	if path, ferr := p.a.findMailbox(p.m); ferr == nil && p.rights(path)&RightLookup != 0 {
		return err
	}
	return errElsewhere
}

// Delete is Account.Delete.
func (x *Access) Delete(ctx context.Context, name string, need Need) error {
	if !x.others(name) {
		return x.a.Delete(ctx, name)
	}
	p, err := x.placeOfOther(ctx, name)
	if err != nil {
		return err
	}
	defer p.release()
	if _, _, err := p.find(need); err != nil {
		return err
	}
	return p.a.deleteMailbox(ctx, p.m)
}

// Rename is Account.Rename. A mailbox stays with its owner, and INBOX of another
// user is not renamed: ErrName.
func (x *Access) Rename(ctx context.Context, name, newname string, need, parent Need) error {
	newname = strings.TrimSuffix(newname, string(x.a.names.sep))
	switch from, to := x.others(name), x.others(newname); {
	case !from && !to:
		return x.a.Rename(ctx, name, newname)
	case !from:
		if _, err := x.a.find(name); err != nil {
			return err
		}
		return fmt.Errorf("mailbox: rename: to another user: %w", ErrName)
	}
	p, err := x.placeOfOther(ctx, name)
	if err != nil {
		return err
	}
	defer p.release()
	if _, _, err := p.find(need); err != nil {
		return err
	}
	if !x.others(newname) || p.m.IsInbox() {
		return fmt.Errorf("mailbox: rename: from another user, or INBOX of one: %w", ErrName)
	}
	to, err := x.target(ctx, newname, parent)
	if err != nil {
		return err
	}
	defer to.release()
	if to.a != p.a {
		return fmt.Errorf("mailbox: rename: to another user: %w", ErrName)
	}
	return to.conflict(p.a.renameMailbox(ctx, p.m, to.m))
}
