package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"roost/auth"
	"roost/config"
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
			cfg, err := loadConfig(path(), cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			users, err := usersOf(cfg, args)
			if err != nil {
				return err
			}
			return runFsck(cmd.Context(), cfg, users, w, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	f.BoolVar(&w.repair, "repair", false, "mend what can be mended; the server must not run")
	f.BoolVar(&w.deep, "deep", false, "read every message, to compare the sizes in file names")
	f.BoolVar(&w.restored, "restored", false, "mail or indexes came from a backup: UIDNEXT and HIGHESTMODSEQ jump, so that no number is given twice")
	f.StringVar(&w.acceptLoss, "accept-loss", "", "the messages of this `mailbox` that have no file are really gone: expunge them now")
	return cmd
}

func runFsck(ctx context.Context, cfg *config.Config, users []auth.User, w fsckWish, out, errOut io.Writer) error {
	store, err := server.OpenMail(cfg, newLogger(cfg.Log, errOut))
	if err != nil {
		return err
	}
	failed := false
	for _, u := range users {
		f := fsck{cfg: cfg, store: store, user: u, out: out, bar: newProgress(errOut)}
		bad, err := f.run(ctx, w)
		f.bar.clear()
		if err != nil {
			fmt.Fprintf(errOut, "roost: user %s: %v\n", u.Name, err)
		}
		failed = failed || bad || err != nil
	}
	if err := store.Close(); err != nil {
		return err
	}
	if failed {
		return errSilent
	}
	return nil
}

// fsck is the work for one user.
type fsck struct {
	cfg   *config.Config
	store *mailbox.Store
	user  auth.User
	where mailbox.User
	out   io.Writer
	bar   *progress
}

// run reports whether there are problems left.
func (f *fsck) run(ctx context.Context, w fsckWish) (bad bool, err error) {
	if f.where, err = server.MailOf(f.cfg, f.user); err != nil {
		return false, err
	}
	if w.restored {
		if err := f.restored(ctx); err != nil {
			return false, err
		}
	}
	if w.acceptLoss != "" {
		if err := f.acceptLoss(ctx, w.acceptLoss); err != nil {
			return false, err
		}
	}
	if w.repair {
		if err := f.repair(ctx); err != nil {
			return false, err
		}
	}
	found, err := f.store.Inspect(ctx, f.where, mailbox.InspectOptions{Deep: w.deep, Progress: f.bar.show})
	f.bar.clear()
	if err != nil {
		return false, err
	}
	return tellInspection(f.out, f.user.Name, f.where.Path, &found), nil
}

// write runs do with the account, or ask if a server has it.
func (f *fsck) write(ctx context.Context, do func(*mailbox.Account) error, ask func(control string) error) error {
	a, err := f.store.Open(ctx, f.where)
	if errors.Is(err, mailbox.ErrLocked) {
		if ask == nil || f.cfg.Server.Control == "" {
			return heldError(f.where.Path)
		}
		if err := ask(f.cfg.Server.Control); err != nil {
			return fmt.Errorf("the server that has the lock of %s says: %w", f.where.Path, err)
		}
		return nil
	}
	if err != nil {
		return err
	}
	defer a.Release()
	return do(a)
}

func (f *fsck) restored(ctx context.Context) error {
	var done server.MailDone
	err := f.write(ctx, func(a *mailbox.Account) (err error) {
		done.Mailboxes, err = server.RestoredAll(ctx, a)
		return err
	}, func(control string) (err error) {
		done, err = server.AskRestored(control, f.user.Name)
		return err
	})
	if err == nil {
		fmt.Fprintf(f.out, "%s: UIDNEXT and HIGHESTMODSEQ of %d mailboxes jumped; clients read the flags again, once\n", f.user.Name, done.Mailboxes)
	}
	return err
}

func (f *fsck) acceptLoss(ctx context.Context, name string) error {
	var done server.MailDone
	err := f.write(ctx, func(a *mailbox.Account) (err error) {
		done.Expunged, err = a.AcceptLoss(ctx, name)
		return err
	}, func(control string) (err error) {
		done, err = server.AskAcceptLoss(control, f.user.Name, name)
		return err
	})
	if err == nil {
		fmt.Fprintf(f.out, "%s: %s: %d messages without a file are expunged\n", f.user.Name, name, done.Expunged)
	}
	return err
}

func (f *fsck) repair(ctx context.Context) error {
	return f.write(ctx, func(a *mailbox.Account) error {
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
