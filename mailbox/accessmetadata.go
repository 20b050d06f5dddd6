package mailbox

import (
	"context"
	"encoding/hex"
	"fmt"
	"strings"

	"roost/index"
)

// This file is METADATA of other users' mailboxes. What is below /private belongs
// to each user alone (RFC 5464 §3.3): that of a guest is kept in the account of the
// owner, beside the mailbox, under names that no client can ask for.

// guestEntries is what the names of a guest's private entries begin with.
func guestEntries(guest string) string { return "/guest/" + hex.EncodeToString([]byte(guest)) }

func isPrivate(entry string) bool {
	entry = lower(entry)
	return entry == "/private" || strings.HasPrefix(entry, "/private/")
}

// inward is the name under which an entry of the guest is kept.
func inward(guest, entry string) string {
	if guest != "" && isPrivate(entry) {
		return guestEntries(guest) + entry
	}
	return entry
}

// outward undoes inward; false: the user does not see the entry.
func outward(guest, entry string) (string, bool) {
	if guest == "" {
		return entry, !strings.HasPrefix(entry, "/guest/")
	}
	if rest, ok := strings.CutPrefix(entry, guestEntries(guest)+"/"); ok {
		return "/" + rest, true
	}
	return entry, !isPrivate(entry) && !strings.HasPrefix(entry, "/guest/")
}

// Metadata is Account.Metadata.
func (x *Access) Metadata(ctx context.Context, name string, need Need, want []string, depth int) ([]MetadataEntry, error) {
	if name == "" || !x.others(name) {
		return x.a.Metadata(ctx, name, want, depth)
	}
	p, err := x.placeOfOther(ctx, name)
	if err != nil {
		return nil, err
	}
	defer p.release()
	path, _, err := p.find(need)
	if err != nil {
		return nil, err
	}
	id, err := p.a.idAt(ctx, path)
	if err != nil {
		return nil, err
	}
	return p.a.metadataFor(id, p.guest, want, depth), nil
}

func (a *Account) metadataFor(id index.MailboxID, guest string, want []string, depth int) []MetadataEntry {
	inside := make([]string, len(want))
	for i, entry := range want {
		inside[i] = inward(guest, entry)
	}
	got := a.metadataOf(id, inside, depth)
	for i := range got {
		got[i].Name, _ = outward(guest, got[i].Name)
	}
	return got
}

// ListMetadata is Account.ListMetadata.
func (x *Access) ListMetadata(ctx context.Context, name string, need Need, want []string) ([]MetadataEntry, error) {
	if !x.others(name) {
		return x.a.ListMetadata(name, want)
	}
	return x.Metadata(ctx, name, need, want, DepthEntry)
}

// SetMetadata is Account.SetMetadata. shared is what entries that all users share
// need beside need.
func (x *Access) SetMetadata(ctx context.Context, name string, need, shared Need, entries []MetadataEntry) error {
	if name == "" || !x.others(name) {
		return x.a.SetMetadata(ctx, name, entries)
	}
	p, err := x.placeOfOther(ctx, name)
	if err != nil {
		return err
	}
	defer p.release()
	path, r, err := p.find(need)
	if err != nil {
		return err
	}
	if err := p.a.checkMetadata(entries); err != nil {
		return err
	}
	inside := make([]MetadataEntry, len(entries))
	for i, e := range entries {
		if !isPrivate(e.Name) && !shared.Met(r) {
			return fmt.Errorf("mailbox: set metadata: %w", denied(r))
		}
		inside[i] = MetadataEntry{Name: inward(p.guest, e.Name), Value: e.Value}
	}
	id, err := p.a.idAt(ctx, path)
	if err != nil {
		return err
	}
	return p.a.setMetadata(id, inside)
}

// metadataChange is what the user is told of annotations of the mailbox id of a, in
// dir, that were set; without entries: nothing.
func (x *Access) metadataChange(a *Account, id index.MailboxID, dir string, entries []MetadataEntry) (c MetadataChange) {
	guest := ""
	switch {
	case a == x.a && id.IsZero():
	case a == x.a:
		c.Mailbox = a.nameOf(dir)
	case id.IsZero():
		return c
	default:
		m, err := a.names.layout.Mailbox(parts(dir))
		if err != nil || !a.rightsOn(id, x.user).Has(needWatch) {
			return c
		}
		guest, c.Mailbox = x.user, x.nameIn(a, m)
	}
	for _, e := range entries {
		if name, ok := outward(guest, e.Name); ok {
			c.Entries = append(c.Entries, name)
		}
	}
	return c
}
