package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"roost/auth"
	"roost/config"
	"roost/mailbox"
)

// What the command line asks of the server that has the mail, since only it may
// write:
//
//	POST /mail/restored?user=U              MailDone: all mailboxes of U jump
//	POST /mail/accept-loss?user=U&mailbox=M MailDone: messages without a file are expunged

// MailDone is the answer.
type MailDone struct {
	Mailboxes int `json:"mailboxes"` // that jumped
	Expunged  int `json:"expunged"`
}

// mailTime bounds one request.
const mailTime = 25 * time.Second

// mailControl adds the requests to mux.
func (p *process) mailControl(mux *http.ServeMux) {
	handle := func(pattern string, f func(ctx context.Context, a *mailbox.Account, r *http.Request) (MailDone, error)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			ctx, cancel := context.WithTimeout(r.Context(), mailTime)
			defer cancel()
			done, err := p.withAccount(ctx, r.URL.Query().Get("user"), func(a *mailbox.Account) (MailDone, error) { return f(ctx, a, r) })
			if err != nil {
				writeJSON(w, http.StatusUnprocessableEntity, map[string]string{"error": err.Error()})
				return
			}
			writeJSON(w, http.StatusOK, done)
		})
	}
	handle("POST /mail/restored", func(ctx context.Context, a *mailbox.Account, _ *http.Request) (done MailDone, err error) {
		done.Mailboxes, err = RestoredAll(ctx, a)
		return done, err
	})
	handle("POST /mail/accept-loss", func(ctx context.Context, a *mailbox.Account, r *http.Request) (done MailDone, err error) {
		done.Expunged, err = a.AcceptLoss(ctx, r.URL.Query().Get("mailbox"))
		return done, err
	})
}

// withAccount opens the account of a user of the users file for f.
func (p *process) withAccount(ctx context.Context, name string, f func(*mailbox.Account) (MailDone, error)) (MailDone, error) {
	cfg := p.cfg.Load()
	u, err := findUser(cfg, name)
	if err != nil {
		return MailDone{}, err
	}
	where, err := mailOf(cfg, u)
	if err != nil {
		return MailDone{}, err
	}
	a, err := p.store.Open(ctx, where)
	if err != nil {
		return MailDone{}, err
	}
	defer a.Release()
	return f(a)
}

func findUser(cfg *config.Config, name string) (auth.User, error) {
	list, _, err := auth.ListUsers(cfg.Auth.Users)
	if err != nil {
		return auth.User{}, err
	}
	for _, u := range list {
		if u.Name == name {
			return u.User, nil
		}
	}
	return auth.User{}, fmt.Errorf("server: %s has no user %s", cfg.Auth.Users, name)
}

// RestoredAll makes all mailboxes of an account jump, and gives how many did.
func RestoredAll(ctx context.Context, a *mailbox.Account) (int, error) {
	list, err := a.List(ctx)
	if err != nil {
		return 0, err
	}
	n := 0
	for _, l := range list {
		if !l.Exists {
			continue
		}
		err := a.Restored(ctx, l.Name)
		if errors.Is(err, mailbox.ErrNotExist) {
			continue // deleted meanwhile
		}
		if err != nil {
			return n, fmt.Errorf("mailbox %s: %w", l.Name, err)
		}
		n++
	}
	return n, nil
}

// AskRestored asks the server behind the control socket to make all mailboxes
// of user jump.
func AskRestored(control, user string) (MailDone, error) {
	var done MailDone
	err := Ask(control, "POST", "/mail/restored?"+url.Values{"user": {user}}.Encode(), &done)
	return done, err
}

// AskAcceptLoss asks it to believe that messages without a file are gone.
func AskAcceptLoss(control, user, mailbox string) (MailDone, error) {
	var done MailDone
	err := Ask(control, "POST", "/mail/accept-loss?"+url.Values{"user": {user}, "mailbox": {mailbox}}.Encode(), &done)
	return done, err
}
