package server

import (
	"log/slog"
	"os"

	"roost/auth"
	"roost/config"
	"roost/disk"
	"roost/mailbox"
)

// OpenMail gives a Store as the server has it, but without watches: for tools
// that work on the mail while no server does. The caller closes it.
func OpenMail(cfg *config.Config, log *slog.Logger) (*mailbox.Store, error) {
	fsys := disk.OS()
	if os.Getuid() == 0 {
		fsys = disk.OS(disk.GiveToOwner())
	}
	return mailbox.NewStore(storeOptions(cfg, fsys, nil, nil, log))
}

// sharedOptions are how users find the mailboxes of other users, who are those of
// the users file.
func (p *process) sharedOptions(cfg *config.Config) mailbox.SharedOptions {
	return mailbox.SharedOptions{
		Prefix: cfg.Shared.Prefix,
		Users:  func() ([]string, error) { return p.users.Load().Names() },
		Find: func(name string) (mailbox.User, error) {
			u, err := p.users.Load().Lookup(name)
			if err != nil {
				return mailbox.User{}, err
			}
			return mailOf(p.cfg.Load(), u)
		},
	}
}

// MailOf says where the mail of u is.
func MailOf(cfg *config.Config, u auth.User) (mailbox.User, error) { return mailOf(cfg, u) }
