package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"roost/mailbox"
	"roost/server"
)

// fsckWish is what the flags of roost fsck say.
type fsckWish struct {
	repair, restored, deep bool
	acceptLoss             string // a mailbox
}

func newFsck(path func() string) *cobra.Command {
	var w fsckWish
	cmd := &cobra.Command{
		Use: "fsck [USER...]", Short: "Check mail and indexes, and explain what is found",
		Long: `Check the Maildirs of the given users, or of all, against their indexes: every
finding with what it means and what to do. Without further flags nothing is
changed, and a server may run: what it does meanwhile may show as a finding.

No message is ever deleted or rewritten. Exits with 1 if there are problems.`,
		Example: `  roost fsck
  roost fsck alice --repair
  roost fsck alice --restored             # after a backup was restored
  roost fsck alice --accept-loss Archive  # these messages are really gone`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if (w.acceptLoss != "" || w.restored) && len(args) == 0 {
				return errors.New("--accept-loss and --restored want the name of a user")
			}
			return withMail(cmd, path(), args, func(ctx context.Context, m *userMail) error {
				f := fsck{userMail: m, bar: newProgress(m.err)}
				defer f.bar.clear()
				return f.run(ctx, w)
			})
		},
	}
	f := cmd.Flags()
	f.BoolVar(&w.repair, "repair", false, "mend what can be mended; the server must not run")
	f.BoolVar(&w.deep, "deep", false, "read every message, to compare the sizes in file names")
	f.BoolVar(&w.restored, "restored", false, "mail or indexes came from a backup: UIDNEXT and HIGHESTMODSEQ jump, so that no number is given twice")
	f.StringVar(&w.acceptLoss, "accept-loss", "", "the messages of this `mailbox` that have no file are really gone: expunge them now")
	return cmd
}

// fsck is the work for one user.
type fsck struct {
	*userMail
	bar *progress
}

// run gives errSilent if there are problems left, which it told.
func (f *fsck) run(ctx context.Context, w fsckWish) error {
	if w.restored {
		if err := f.restored(ctx); err != nil {
			return err
		}
	}
	if w.acceptLoss != "" {
		if err := f.acceptLoss(ctx, w.acceptLoss); err != nil {
			return err
		}
	}
	if w.repair {
		if err := f.repair(ctx); err != nil {
			return err
		}
	}
	found, err := f.store.Inspect(ctx, f.where, mailbox.InspectOptions{Deep: w.deep, Progress: f.bar.show})
	f.bar.clear()
	if err != nil {
		return err
	}
	if tellInspection(f.out, f.name, f.where.Path, &found) {
		return errSilent
	}
	return nil
}

func (f *fsck) restored(ctx context.Context) error {
	var done server.MailDone
	err := f.change(ctx, func(a *mailbox.Account) (err error) {
		done.Mailboxes, err = server.RestoredAll(ctx, a)
		return err
	}, func(control string) (err error) {
		done, err = server.AskRestored(control, f.name)
		return err
	})
	if err == nil {
		fmt.Fprintf(f.out, "%s: UIDNEXT and HIGHESTMODSEQ of %d mailboxes jumped; clients read the flags again, once\n", f.name, done.Mailboxes)
	}
	return err
}

func (f *fsck) acceptLoss(ctx context.Context, name string) error {
	var done server.MailDone
	err := f.change(ctx, func(a *mailbox.Account) (err error) {
		done.Expunged, err = a.AcceptLoss(ctx, name)
		return err
	}, func(control string) (err error) {
		done, err = server.AskAcceptLoss(control, f.name, name)
		return err
	})
	if err == nil {
		fmt.Fprintf(f.out, "%s: %s: %d messages without a file are expunged\n", f.name, name, done.Expunged)
	}
	return err
}

func (f *fsck) repair(ctx context.Context) error {
	return f.change(ctx, func(a *mailbox.Account) error {
		return a.RepairAccount(ctx, func(name string, done, total int, err error) {
			f.bar.show("mailboxes", done, total)
		})
	}, nil)
}

// tellInspection prints findings, and reports whether there are problems.
func tellInspection(out io.Writer, user, path string, in *mailbox.Inspection) (bad bool) {
	fmt.Fprintf(out, "%s (%s): %d mailboxes, %d messages\n", user, path, in.Mailboxes, in.Messages)
	if in.Busy {
		fmt.Fprintln(out, "  A server has this Maildir. What it did in the last moment may be missing here, or show as a finding.")
	}
	problems, warnings := 0, 0
	for i := range in.Findings {
		f := &in.Findings[i]
		switch f.Severity {
		case mailbox.Problem:
			problems++
		case mailbox.Warning:
			warnings++
		}
		fmt.Fprintf(out, "  %s: ", strings.ToUpper(f.Severity.String()))
		if f.Mailbox != "" {
			fmt.Fprintf(out, "%s: ", f.Mailbox)
		}
		fmt.Fprint(out, f.What)
		if f.Count > 0 {
			fmt.Fprintf(out, " (%d)", f.Count)
		}
		fmt.Fprintln(out)
		for _, e := range f.Examples {
			fmt.Fprintf(out, "      %q\n", e)
		}
		if f.Count > len(f.Examples) && len(f.Examples) > 0 {
			fmt.Fprintf(out, "      and %d more\n", f.Count-len(f.Examples))
		}
		if f.Do != "" {
			fmt.Fprintf(out, "      -> %s\n", f.Do)
		}
	}
	if problems+warnings == 0 {
		fmt.Fprintln(out, "  good")
	} else {
		fmt.Fprintf(out, "  %d problems, %d warnings\n", problems, warnings)
	}
	return problems > 0
}
