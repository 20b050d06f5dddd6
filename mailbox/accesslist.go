package mailbox

import (
	"context"
	"errors"
	"slices"
	"strings"

	"roost/index"
)

// List is Account.List with what other users show to this one, of those owners
// whose mailboxes reaches accepts: it is asked with the name of the level that all
// of an owner's mailboxes are at or below. nil: all owners.
func (x *Access) List(ctx context.Context, reaches func(name string) bool) ([]Listed, error) {
	own, err := x.a.List(ctx)
	if err != nil || x.s == nil {
		return own, err
	}
	return x.withOthers(ctx, own, reaches, func(a *Account) ([]Listed, error) {
		seen, err := a.shownTo(x)
		if err != nil {
			a.log.Warn("mailboxes of another user cannot be listed", "guest", x.user, "err", err)
		}
		return seen.list, nil
	})
}

// withOthers adds the mailboxes of other users to the list of the own ones: what
// list gives of each account that was opened. An account that cannot be opened is
// left out.
func (x *Access) withOthers(ctx context.Context, own []Listed, reaches func(name string) bool, list func(*Account) ([]Listed, error)) ([]Listed, error) {
	if err := x.s.look(ctx); err != nil {
		return nil, err
	}
	subs, err := x.othersSubscribed()
	if err != nil {
		return nil, err
	}
	t := listTree{nodes: map[string]int{}, sep: x.a.names.sep}
	for _, l := range own {
		switch {
		case !x.hides(&l):
			t.add(l)
		case l.Exists:
			x.a.hidden.Do(func() {
				x.a.log.Warn("mailbox is hidden: its name is one of other users' mailboxes; change [shared] prefix, or rename its directory", "mailbox", l.Name)
			})
		}
	}
	owners := x.s.sharers(x.user)
	if len(owners) == 0 && len(subs) == 0 {
		return t.list, nil
	}
	for _, owner := range owners {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		level := x.s.o.Prefix + x.s.nameOf(owner)
		if reaches != nil && !reaches(level) {
			// Its mailboxes are not asked for; that there is something below the
			// top is.
			t.list[t.add(Listed{Name: x.s.top(), NonExistent: true})].HasChildren = true
			continue
		}
		a, err := x.owner(ctx, owner)
		switch {
		case errors.Is(err, ErrNotExist), errors.Is(err, ErrUnavailable):
			continue
		case err != nil:
			return nil, err
		}
		visible, err := list(a)
		a.Release()
		if err != nil {
			return nil, err
		}
		for _, l := range visible {
			t.add(l)
		}
	}
	t.addLevels()
	for _, name := range subs {
		t.subscribe(name)
	}
	return t.sorted(), nil
}

// hides reports whether a name of the own account stands for nothing, because the
// names of other users have its place.
func (x *Access) hides(l *Listed) bool {
	if x.others(l.Name) {
		return true
	}
	rest, ok := strings.CutPrefix(l.Name, x.a.names.prefix)
	return ok && l.NonExistent && x.others(rest) // the subscription of one of those
}

// othersSubscribed gives the subscribed names of other users' mailboxes.
func (x *Access) othersSubscribed() ([]string, error) {
	subs, err := x.a.subscriptions()
	if err != nil {
		return nil, diskErr(err)
	}
	var out []string
	for _, m := range subs.names {
		if len(m) > len(x.s.levels) && m.Under(x.s.levels) {
			out = append(out, strings.Join(m, string(x.a.names.sep)))
		}
	}
	return out, nil
}

// A shown is what a guest sees of an account, at one moment.
type shown struct {
	of    builtList // what it was made of
	list  []Listed  // without levels between them
	paths []string  // of list
	ids   []index.MailboxID
}

// shownTo gives the mailboxes that a guest sees.
func (a *Account) shownTo(x *Access) (s shown, err error) {
	ls, err := a.listing()
	if err != nil {
		return shown{}, diskErr(err)
	}
	s.of.ls = ls
	a.file.view(func(st *accountState) {
		s.of.version, s.of.acls = st.changes, st.acls.changes
		for i := range ls.all {
			l := &ls.all[i]
			if !l.Selectable || ls.byName[l.Name.String()] != i {
				continue
			}
			path := joinPath(l.Dir)
			r := st.rightsAt(path, x.user)
			if r&RightLookup == 0 {
				continue
			}
			var id index.MailboxID
			if at := st.byDir[path]; at != nil {
				id = at.ID
			}
			s.list = append(s.list, Listed{Name: x.nameIn(a, l.Name), Exists: true, Rights: r})
			s.paths, s.ids = append(s.paths, path), append(s.ids, id)
		}
	})
	return s, nil
}

// shot gives the names that a user reaches, at one moment, while this process does
// not change any of the trees: a RENAME is several steps. Accounts of others are
// entered in joined, where they stay open.
func (x *Access) shot(ctx context.Context, reaches func(string) bool, join func(*Account) error) (*treeShot, error) {
	shot, err := x.a.settledShot(ctx)
	if err != nil || x.s == nil {
		return shot, err
	}
	shot.list, err = x.withOthers(ctx, shot.list, reaches, func(a *Account) ([]Listed, error) {
		if err := join(a); err != nil {
			return nil, err
		}
		if err := a.takeTurn(ctx); err != nil {
			return nil, err
		}
		defer a.giveTurn()
		seen, err := a.shownTo(x)
		if err != nil {
			return nil, err
		}
		shot.add(a, &seen)
		return seen.list, nil
	})
	if err != nil {
		return nil, err
	}
	shot.index = make(map[string]int, len(shot.list))
	for i := range shot.list {
		shot.index[shot.list[i].Name] = i
	}
	return shot, nil
}

// add notes which mailboxes of a the names of a guest mean, and what the names
// were made of. The caller has the turn.
func (s *treeShot) add(a *Account, seen *shown) {
	for i, path := range seen.paths {
		if info, err := a.lstatPath(path); err == nil {
			s.ids[seen.list[i].Name] = treeID{info.Identity, seen.ids[i]}
		}
	}
	s.others = append(s.others, otherShot{a, seen.of})
}

// An otherShot is what the names of another user's mailboxes were made of.
type otherShot struct {
	a  *Account
	of builtList
}

func (o otherShot) same(p otherShot) bool {
	return o.a == p.a && o.of.ls == p.of.ls && o.of.version == p.of.version && o.of.acls == p.of.acls
}

// sameAs reports whether nothing has happened between two shots.
func (s *treeShot) sameAs(o *treeShot) bool {
	return s.of.ls == o.of.ls && s.of.subs == o.of.subs && s.of.version == o.of.version && s.of.ls != nil &&
		slices.EqualFunc(s.others, o.others, otherShot.same)
}
