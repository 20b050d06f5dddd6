package session

import (
	"context"
	"slices"

	"github.com/emersion/go-imap/v2"

	"roost/mailbox"
)

// This file keeps a client from being told of what it has done itself (RFC 5465
// §5), and gives the selected mailbox the events that NOTIFY asked for.

// ownNames notes that this session made the name exists, or removed gone; empty
// is none.
func (s *Session) ownNames(ctx context.Context, exists, gone string) {
	if n := s.notify; n != nil && n.tree != nil {
		n.tree.Own(ctx, exists, gone)
		if exists != "" && gone != "" {
			n.rename(gone, exists)
		}
		n.stale = true
	}
}

// ownSubscription notes that this session subscribed name, or ended that.
func (s *Session) ownSubscription(ctx context.Context, name string, on bool) {
	if n := s.notify; n != nil && n.tree != nil {
		n.tree.OwnSubscription(ctx, name, on)
		n.stale = true
	}
}

// ownMessages notes that this session appended messages to mb.
func (s *Session) ownMessages(mb *mailbox.Mailbox, uids []imap.UID) {
	if n := s.notify; n != nil && mb == s.mailbox && s.view != nil {
		for _, uid := range uids {
			n.own.AddNum(uid)
		}
	}
}

// notifyPolicy is what NOTIFY leaves of the policy of a command; own: the
// command itself changes the mailbox, and its client expects to be told.
func (s *Session) notifyPolicy(p mailbox.Policy, own bool) mailbox.Policy {
	if s.notify != nil && s.notify.selected == 0 && !own {
		return syncNothing
	}
	return p
}

// tellNews is what a session with NOTIFY tells between two commands: EXPUNGE
// only with SELECTED, not with SELECTED-DELAYED (RFC 5465 §6.1).
func (s *Session) tellNews(ctx context.Context) error {
	policy := everything
	if s.notify.delayed {
		policy = noExpunge
	}
	return s.push(ctx, policy)
}

// wantsFlags says whether flag changes by others are to be told.
func (s *Session) wantsFlags() bool {
	return s.notify == nil || s.notify.selected&eventFlags != 0
}

// notOwn leaves out the messages that this session appended itself.
func (s *Session) notOwn(fresh []mailbox.Message) []mailbox.Message {
	if s.notify == nil || len(s.notify.own) == 0 || len(fresh) == 0 {
		return fresh
	}
	out := make([]mailbox.Message, 0, len(fresh))
	for _, m := range fresh {
		if !s.notify.own.Contains(m.UID) {
			out = append(out, m)
		}
	}
	s.notify.own = nil
	return out
}

// follow tells what a sync means for contexts, and the data items of new
// messages. Those that NOTIFY asked for come behind ADDTO (RFC 5465 §5.2), those
// of contexts alone before it (§7).
func (s *Session) follow(ctx context.Context, ch *mailbox.Changes) error {
	var changes []contextChange
	if len(s.contexts) > 0 {
		var err error
		if changes, err = s.contextsChanged(ctx, ch); err != nil {
			return err
		}
	}
	var always []fetchItem
	if s.notify != nil {
		always = s.notify.items
	}
	if len(always) > 0 {
		for i := range changes {
			changes[i].write(s)
		}
	}
	if err := s.writeNew(ctx, s.notOwn(ch.New), always, changes); err != nil {
		return err
	}
	if len(always) == 0 {
		for i := range changes {
			changes[i].write(s)
		}
	}
	return nil
}

// writeNew tells data items of new messages: always those, and those of the
// contexts that they came into, in one response.
func (s *Session) writeNew(ctx context.Context, fresh []mailbox.Message, always []fetchItem, changes []contextChange) error {
	var cmd *fetchCmd
	var msgs mailbox.Seqs
	var before []bool
	for i := range fresh {
		m := &fresh[i]
		wants := make([]bool, len(changes))
		for k := range changes {
			wants[k] = len(changes[k].items) > 0 && changes[k].came[m.UID]
		}
		if cmd == nil || !slices.Equal(wants, before) {
			if err := s.fetchNew(ctx, cmd, msgs); err != nil {
				return err
			}
			cmd, msgs, before = &fetchCmd{}, nil, wants
			cmd.merge(always)
			for k := range changes {
				if wants[k] {
					cmd.merge(changes[k].items)
				}
			}
		}
		msgs = msgs.Add(m.Seq)
	}
	return s.fetchNew(ctx, cmd, msgs)
}

func (s *Session) fetchNew(ctx context.Context, cmd *fetchCmd, msgs mailbox.Seqs) error {
	if cmd == nil || len(cmd.items) == 0 {
		return nil
	}
	f := fetcher{s: s, ctx: ctx, cmd: cmd}
	f.all(msgs)
	if f.err != nil {
		s.logger().Warn("new message not told as asked", "user", s.user.Name, "error", f.err)
	}
	return f.fatal
}
