package main

import (
	"bufio"
	"context"
	"fmt"
	"strconv"

	"github.com/emersion/go-imap/v2"
	"github.com/spf13/cobra"
)

func newDump(path func() string) *cobra.Command {
	return &cobra.Command{
		Use: "dump USER [MAILBOX]", Short: "Print what roost.account, or the index of a mailbox, says", Args: cobra.RangeArgs(1, 2),
		Long: `Print roost.account of a user, or the index of one of the mailboxes, in words.
Nothing is changed and no lock is taken: a server that runs may be ahead of what
lies on the disk.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return withMail(cmd, path(), args[:1], func(_ context.Context, m *userMail) error {
				out := bufio.NewWriter(m.out)
				var err error
				if len(args) == 1 {
					err = m.store.DumpAccount(m.where, out)
				} else {
					err = m.store.Dump(m.where, args[1], out)
				}
				if err != nil {
					return err
				}
				return out.Flush()
			})
		},
	}
}

func newExplain(path func() string) *cobra.Command {
	return &cobra.Command{
		Use: "explain USER MAILBOX UID", Short: "Tell the history of a message", Args: cobra.ExactArgs(3),
		Long: `Tell what is known of one message: its file, and who did what to it when, as far
back as the journal of the mailbox reaches. Nothing is changed and no lock is
taken: a server that runs may be ahead of what lies on the disk.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			uid, err := strconv.ParseUint(args[2], 10, 32)
			if err != nil || uid == 0 {
				return fmt.Errorf("%q is not a UID", args[2])
			}
			return withMail(cmd, path(), args[:1], func(ctx context.Context, m *userMail) error {
				return explain(ctx, m, args[1], imap.UID(uid))
			})
		},
	}
}

func explain(ctx context.Context, m *userMail, name string, uid imap.UID) error {
	out := m.out
	e, err := m.store.Explain(ctx, m.where, name, uid)
	if err != nil {
		return err
	}
	const layout = "2006-01-02 15:04:05.000"
	fmt.Fprintf(out, "%s UID %d (UIDVALIDITY %d)\n", name, uid, e.UIDValidity)
	switch {
	case e.Message:
		fmt.Fprintf(out, "a message; flags %v, mod-sequence %d\nfile by the index: %s\n", e.Flags, e.ModSeq, e.File)
	case uid >= e.UIDNext:
		fmt.Fprintf(out, "never given: UIDNEXT is %d\n", e.UIDNext)
	case e.Base == "":
		fmt.Fprintln(out, "no message: it is gone, or the number was skipped; the journal does not know more")
	default:
		fmt.Fprintln(out, "no message any more")
	}
	switch {
	case e.Found != "" && e.Found != e.File:
		fmt.Fprintf(out, "file found: %s (%d octets, %s)\n", e.Found, e.Size, e.Mtime.Format(layout))
	case e.Found != "":
		fmt.Fprintf(out, "the file is there: %d octets, modified %s\n", e.Size, e.Mtime.Format(layout))
	case e.Base != "":
		fmt.Fprintln(out, "there is no file with this base")
	}
	fmt.Fprintf(out, "history since %s:\n", e.Created.Format(layout))
	for _, ev := range e.Events {
		fmt.Fprintf(out, "  %s  %s %s", ev.Time.Format(layout), ev.Who, ev.What)
		if ev.ModSeq != 0 {
			fmt.Fprintf(out, " [mod-sequence %d]", ev.ModSeq)
		}
		fmt.Fprintln(out)
	}
	if len(e.Events) == 0 {
		fmt.Fprintf(out, "  nothing; what happened before then is not kept. For a time before, look at the log\n")
	}
	return nil
}
