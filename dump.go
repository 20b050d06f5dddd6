package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strconv"

	"github.com/emersion/go-imap/v2"
	"github.com/spf13/cobra"

	"roost/config"
	"roost/mailbox"
	"roost/server"
)

func newDump(path func() string) *cobra.Command {
	return &cobra.Command{
		Use: "dump USER [MAILBOX]", Short: "Print what roost.account, or the index of a mailbox, says", Args: cobra.RangeArgs(1, 2),
		Long: `Print roost.account of a user, or the index of one of the mailboxes, in words.
Nothing is changed and no lock is taken: a server that runs may be ahead of what
lies on the disk.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			store, where, err := inspected(path(), args[0], cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			out := bufio.NewWriter(cmd.OutOrStdout())
			if len(args) == 1 {
				err = store.DumpAccount(where, out)
			} else {
				err = store.Dump(where, args[1], out)
			}
			if err != nil {
				return err
			}
			return out.Flush()
		},
	}
}

// inspected gives a Store that is only looked through, and where the mail of a
// user is.
func inspected(conf, user string, errOut io.Writer) (*mailbox.Store, mailbox.User, error) {
	cfg, err := loadConfig(conf, errOut)
	if err != nil {
		return nil, mailbox.User{}, err
	}
	where, err := mailOfUser(cfg, user)
	if err != nil {
		return nil, where, err
	}
	store, err := server.OpenMail(cfg, newLogger(cfg.Log, errOut))
	return store, where, err
}

func mailOfUser(cfg *config.Config, name string) (mailbox.User, error) {
	users, err := usersOf(cfg, []string{name})
	if err != nil {
		return mailbox.User{}, err
	}
	return server.MailOf(cfg, users[0])
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
			store, where, err := inspected(path(), args[0], cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			return explain(cmd.Context(), store, where, args[1], imap.UID(uid), cmd.OutOrStdout())
		},
	}
}

func explain(ctx context.Context, store *mailbox.Store, where mailbox.User, name string, uid imap.UID, out io.Writer) error {
	e, err := store.Explain(ctx, where, name, uid)
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
