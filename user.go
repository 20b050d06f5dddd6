package main

import (
	"bufio"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"roost/auth"
	"roost/config"
)

// userLine is the only line of a new users file.
func userLine(name, password string) (string, error) {
	name, err := auth.NormalizeName(name)
	if err != nil {
		return "", err
	}
	hash, err := auth.Hash(password)
	if err != nil {
		return "", err
	}
	return name + ":" + hash + "\n", nil
}

func newUser(path func() string) *cobra.Command {
	cmd := &cobra.Command{Use: "user", Short: "Edit the users file"}
	var fromStdin bool
	var home string
	add := &cobra.Command{
		Use: "add NAME", Short: "Add a user; asks for the password", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withUsers(cmd, path(), func(users string) error {
				hash, err := askHash(cmd, fromStdin)
				if err != nil {
					return err
				}
				return auth.AddUser(users, auth.NewUser{Name: args[0], Password: hash, UID: -1, GID: -1, Home: home})
			})
		},
	}
	add.Flags().StringVar(&home, "home", "", "home directory, for %h in [mail] path")
	passwd := &cobra.Command{
		Use: "passwd NAME", Short: "Change the password of a user", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withUsers(cmd, path(), func(users string) error {
				hash, err := askHash(cmd, fromStdin)
				if err != nil {
					return err
				}
				return auth.SetPassword(users, args[0], hash)
			})
		},
	}
	for _, c := range []*cobra.Command{add, passwd} {
		c.Flags().BoolVar(&fromStdin, "password-stdin", false, "read the password from standard input instead of asking")
	}
	cmd.AddCommand(add, passwd, newUserList(path), newUserRemove(path))
	return cmd
}

func newUserList(path func() string) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the users", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withUsers(cmd, path(), func(users string) error {
				list, skipped, err := auth.ListUsers(users)
				if err != nil {
					return err
				}
				for _, u := range list {
					locked := ""
					if u.Locked {
						locked = "  (locked)"
					}
					fmt.Fprintf(cmd.OutOrStdout(), "%s%s\n", u.Name, locked)
				}
				for _, e := range skipped {
					fmt.Fprintf(cmd.ErrOrStderr(), "%s: skipped: %v\n", users, e)
				}
				return nil
			})
		},
	}
}

func newUserRemove(path func() string) *cobra.Command {
	return &cobra.Command{
		Use: "remove NAME", Short: "Remove a user; the mail stays", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withUsers(cmd, path(), func(users string) error { return auth.RemoveUser(users, args[0]) })
		},
	}
}

// withUsers runs edit with the users file of the configuration at path.
func withUsers(cmd *cobra.Command, path string, edit func(users string) error) error {
	cfg, err := loadConfig(path, cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	return edit(cfg.Auth.Users)
}

func askHash(cmd *cobra.Command, fromStdin bool) (string, error) {
	in := cmd.InOrStdin()
	password, err := readPassword(in, bufio.NewReader(in), cmd.ErrOrStderr(), fromStdin)
	if err != nil {
		return "", err
	}
	return auth.Hash(password)
}

// checkUsers finds what keeps users from logging in.
func checkUsers(cfg *config.Config) []finding {
	list, skipped, err := auth.ListUsers(cfg.Auth.Users)
	if err != nil {
		return []finding{{key: "auth.users", text: err.Error(), remedy: "roost user add NAME makes the file"}}
	}
	var out []finding
	for _, e := range skipped {
		out = append(out, finding{warning: true, key: "auth.users", text: fmt.Sprintf("%s: %v", cfg.Auth.Users, e), remedy: "the line is skipped; write name:{SCHEME}hash"})
	}
	if len(list) == 0 {
		out = append(out, finding{warning: true, key: "auth.users", text: cfg.Auth.Users + " has no users", remedy: "roost user add NAME"})
	}
	return out
}

// checkMail looks at the Maildirs of the users.
func checkMail(cfg *config.Config) []finding {
	list, _, err := auth.ListUsers(cfg.Auth.Users)
	if err != nil {
		return nil // checkUsers has said it
	}
	var out []finding
	for _, u := range list {
		path, err := config.Expand(cfg.Mail.Path, config.Vars{User: u.Name, Home: u.Home})
		if err != nil {
			out = append(out, finding{key: "mail.path", text: fmt.Sprintf("user %s: %v", u.Name, err), remedy: "change [mail] path or the user"})
			continue
		}
		if f := checkMaildir(cfg, u.Name, path); f != nil {
			out = append(out, *f)
		}
	}
	return out
}

func checkMaildir(cfg *config.Config, user, path string) *finding {
	dir, err := os.Open(path)
	switch {
	case err == nil:
		defer dir.Close()
		if _, err := dir.Readdirnames(1); err != nil && err != io.EOF {
			return &finding{key: "mail.path", text: fmt.Sprintf("user %s: %v", user, err), remedy: "run roost as the owner of the mail: [server] user"}
		}
		if owner := ownerAt(path); owner != nil && owner.uid < cfg.Limits.MinUID {
			return &finding{
				key: "limits.min_uid", text: fmt.Sprintf("user %s: %s belongs to user id %d, which is refused", user, path, owner.uid),
				remedy: fmt.Sprintf("change the owner of the Maildir, or set min_uid = %d", owner.uid),
			}
		}
		return nil
	case os.IsNotExist(err):
		remedy := "it is made at the first login if its parent directory exists"
		switch cfg.Mail.Create {
		case "always":
			remedy = "it is made at the first login"
		case "never":
			remedy = "make it: [mail] create is \"never\""
		}
		return &finding{warning: true, key: "mail.path", text: fmt.Sprintf("user %s: %s does not exist", user, path), remedy: remedy}
	default:
		return &finding{key: "mail.path", text: fmt.Sprintf("user %s: %v", user, err), remedy: "run roost as the owner of the mail: [server] user"}
	}
}
