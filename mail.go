package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"roost/auth"
	"roost/config"
	"roost/mailbox"
	"roost/server"
)

// A userMail is the mail of one user, which a verb works on itself, beside or
// instead of a server.
type userMail struct {
	cfg   *config.Config
	store *mailbox.Store
	name  string
	where mailbox.User
	out   io.Writer
	err   io.Writer // where progress and logs go
}

// withMail runs do for the named users, or for all of the users file. What goes
// wrong with one is told, and the others have their turn.
func withMail(cmd *cobra.Command, path string, names []string, do func(context.Context, *userMail) error) error {
	errOut := cmd.ErrOrStderr()
	cfg, err := loadConfig(path, errOut)
	if err != nil {
		return err
	}
	users, err := usersOf(cfg, names)
	if err != nil {
		return err
	}
	store, err := server.OpenMail(cfg, newLogger(cfg.Log, errOut))
	if err != nil {
		return err
	}
	failed := false
	for _, u := range users {
		m := userMail{cfg: cfg, store: store, name: u.Name, out: cmd.OutOrStdout(), err: errOut}
		m.where, err = server.MailOf(cfg, u)
		if err == nil {
			err = do(cmd.Context(), &m)
		}
		if err != nil {
			failed = true
			if !errors.Is(err, errSilent) {
				fmt.Fprintf(errOut, "roost: user %s: %v\n", u.Name, err)
			}
		}
	}
	if err := store.Close(); err != nil {
		return err
	}
	if failed {
		return errSilent
	}
	return nil
}

// usersOf gives the named users of the users file, or all of them.
func usersOf(cfg *config.Config, names []string) ([]auth.User, error) {
	list, _, err := auth.ListUsers(cfg.Auth.Users)
	if err != nil {
		return nil, err
	}
	var out []auth.User
	for _, u := range list {
		if len(names) == 0 || slices.Contains(names, u.Name) {
			out = append(out, u.User)
		}
	}
	for _, name := range names {
		if !slices.ContainsFunc(out, func(u auth.User) bool { return u.Name == name }) {
			return nil, fmt.Errorf("%s has no user %s", cfg.Auth.Users, name)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s has no users; roost user add NAME", cfg.Auth.Users)
	}
	return out, nil
}

// change runs do with the account, or ask if a server has its lock; without ask
// that is an error.
func (m *userMail) change(ctx context.Context, do func(*mailbox.Account) error, ask func(control string) error) error {
	a, err := m.store.Open(ctx, m.where)
	if errors.Is(err, mailbox.ErrLocked) {
		if ask == nil || m.cfg.Server.Control == "" {
			return fmt.Errorf("%s is in use: a running roost holds its lock. Stop it first (systemctl stop roost), then run this command again", m.where.Path)
		}
		if err := ask(m.cfg.Server.Control); err != nil {
			return fmt.Errorf("the server that has the lock of %s says: %w", m.where.Path, err)
		}
		return nil
	}
	if err != nil {
		return err
	}
	defer a.Release()
	return do(a)
}
