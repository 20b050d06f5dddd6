package mailbox

import (
	"context"
	"fmt"
	"strings"

	"roost/maildir"
)

// QuotaRoot gives the quota root of a mailbox (RFC 9208 §4.1.2): "" of the own
// ones, which need not exist, and the level of the owner of others.
func (x *Access) QuotaRoot(ctx context.Context, name string, need Need) (root string, err error) {
	if !x.others(name) {
		return "", nil
	}
	p, err := x.placeOfOther(ctx, name)
	if err != nil {
		return "", err
	}
	defer p.release()
	if _, _, err := p.find(need); err != nil {
		return "", err
	}
	return x.nameIn(p.a, maildir.Mailbox{maildir.Inbox}), nil
}

// Quota is Account.Quota of a quota root. That of another user is only there for
// who may read some mailbox under it: need (RFC 9208 §6). ErrNotExist.
func (x *Access) Quota(ctx context.Context, root string, need Need) (limits Quota, used Usage, err error) {
	if root == "" {
		return x.a.Quota(ctx)
	}
	a, err := x.quotaOwner(ctx, root, need)
	if err != nil {
		return Quota{}, Usage{}, fmt.Errorf("mailbox: quota: %w", err)
	}
	defer a.Release()
	return a.Quota(ctx)
}

func (x *Access) quotaOwner(ctx context.Context, root string, need Need) (*Account, error) {
	if x.s == nil {
		return nil, ErrNotExist
	}
	level, ok := strings.CutPrefix(root, x.s.o.Prefix)
	owner, valid := x.s.ownerOf(level)
	if !ok || !valid || owner == x.user {
		return nil, ErrNotExist
	}
	a, err := x.owner(ctx, owner)
	if err != nil {
		return nil, err
	}
	held := false
	a.file.view(func(st *accountState) {
		for id, list := range st.acls.of {
			held = held || st.byID[id] != nil && need.Met(list.of(x.user))
		}
	})
	if !held {
		a.Release()
		return nil, ErrNotExist
	}
	return a, nil
}

// SetQuota is Account.SetQuota of a quota root; that of another user is the
// owner's alone: ErrPermission, or ErrNotExist where Quota would say so.
func (x *Access) SetQuota(ctx context.Context, root string, need Need, limits Quota) error {
	if root == "" {
		return x.a.SetQuota(limits)
	}
	a, err := x.quotaOwner(ctx, root, need)
	if err != nil {
		return fmt.Errorf("mailbox: set quota: %w", err)
	}
	a.Release()
	return fmt.Errorf("mailbox: set quota: %w", ErrPermission)
}
