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

func newExport(path func() string) *cobra.Command {
	cmd := &cobra.Command{Use: "export", Short: "Write what another server needs to go on"}
	cmd.AddCommand(&cobra.Command{
		Use: "dovecot USER", Short: "Write Dovecot's files, so that no client loads anything again", Args: cobra.ExactArgs(1),
		Long: `Write dovecot-uidlist, dovecot-keywords and dovecot-uidvalidity of all mailboxes
of a user, so that Dovecot goes on with the same UIDs, and print the commands
that tell Dovecot the mod-sequences (they are in no file that can be written
while it does not run). The subscriptions are in Dovecot's file always.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := loadConfig(path(), cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			users, err := usersOf(cfg, args)
			if err != nil {
				return err
			}
			return runExport(cmd.Context(), cfg, users[0], cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	})
	return cmd
}

func runExport(ctx context.Context, cfg *config.Config, u auth.User, out, errOut io.Writer) error {
	store, err := server.OpenMail(cfg, newLogger(cfg.Log, errOut))
	if err != nil {
		return err
	}
	return errors.Join(exportUser(ctx, store, cfg, u, out), store.Close())
}

func exportUser(ctx context.Context, store *mailbox.Store, cfg *config.Config, u auth.User, out io.Writer) error {
	where, err := server.MailOf(cfg, u)
	if err != nil {
		return err
	}
	account, err := store.Open(ctx, where)
	if errors.Is(err, mailbox.ErrLocked) {
		return heldError(where.Path)
	}
	if err != nil {
		return err
	}
	defer account.Release()
	list, err := account.List(ctx)
	if err != nil {
		return err
	}
	var done []mailbox.Exported
	for _, l := range list {
		if !l.Exists {
			continue
		}
		e, err := account.ExportDovecot(ctx, l.Name)
		if err != nil {
			return fmt.Errorf("mailbox %s: %w", l.Name, err)
		}
		done = append(done, e)
	}
	fmt.Fprintf(out, "# %d mailboxes of %s are ready for Dovecot. Once it runs, tell it the mod-sequences:\n", len(done), u.Name)
	sep := cfg.Mail.Separator
	for _, e := range done {
		name := strings.TrimPrefix(e.Name, cfg.Mail.Prefix)
		fmt.Fprintf(out, "doveadm mailbox update -u %s --min-next-uid %d --min-highest-modseq %d %s\n",
			shellQuote(u.Name), e.UIDNext, e.HighestModSeq, shellQuote(name))
		if len(e.Unnamed) > 0 {
			fmt.Fprintf(out, "# %s: 26 keywords have letters; Dovecot does not learn of: %s\n", e.Name, strings.Join(e.Unnamed, " "))
		}
	}
	fmt.Fprintf(out, "# The names above have the separator %q and no prefix; change them if Dovecot's namespace differs.\n", sep)
	return nil
}

// shellQuote makes s one word for a shell.
func shellQuote(s string) string {
	if s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./@-") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
