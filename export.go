package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"roost/mailbox"
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
			return withMail(cmd, path(), args, func(ctx context.Context, m *userMail) error {
				return m.change(ctx, func(a *mailbox.Account) error { return exportDovecot(ctx, m, a) }, nil)
			})
		},
	})
	return cmd
}

func exportDovecot(ctx context.Context, m *userMail, account *mailbox.Account) error {
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
	fmt.Fprintf(m.out, "# %d mailboxes of %s are ready for Dovecot. Once it runs, tell it the mod-sequences:\n", len(done), m.name)
	sep := m.cfg.Mail.Separator
	for _, e := range done {
		name := strings.TrimPrefix(e.Name, m.cfg.Mail.Prefix)
		fmt.Fprintf(m.out, "doveadm mailbox update -u %s --min-next-uid %d --min-highest-modseq %d %s\n",
			shellQuote(m.name), e.UIDNext, e.HighestModSeq, shellQuote(name))
		if len(e.Unnamed) > 0 {
			fmt.Fprintf(m.out, "# %s: 26 keywords have letters; Dovecot does not learn of: %s\n", e.Name, strings.Join(e.Unnamed, " "))
		}
	}
	fmt.Fprintf(m.out, "# The names above have the separator %q and no prefix; change them if Dovecot's namespace differs.\n", sep)
	return nil
}

// shellQuote makes s one word for a shell.
func shellQuote(s string) string {
	if s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./@-") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
