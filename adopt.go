package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"roost/mailbox"
)

func newAdopt(path func() string) *cobra.Command {
	var dry bool
	cmd := &cobra.Command{
		Use: "adopt [USER...]", Short: "Take over the UIDs that Dovecot or Courier gave",
		Long: `Take over UIDVALIDITY, UIDs, UIDNEXT, keywords and subscriptions from Dovecot or
Courier, for the given users or all of the users file, so that no client loads
anything again. Stop the other server first. roost serve does the same for each
mailbox when it is used for the first time: this command does it for all at
once and tells what it found. --dry-run only tells, and may be used at any time.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return withMail(cmd, path(), args, func(ctx context.Context, m *userMail) error { return adopt(ctx, m, dry) })
		},
	}
	cmd.Flags().BoolVar(&dry, "dry-run", false, "only tell what would be taken over")
	return cmd
}

func adopt(ctx context.Context, m *userMail, dry bool) error {
	found, err := m.store.SurveyAdoption(ctx, m.where)
	if err != nil {
		return err
	}
	fmt.Fprintf(m.out, "%s (%s)\n", m.name, m.where.Path)
	if dry {
		return tellSurvey(m.out, found)
	}
	return m.change(ctx, func(a *mailbox.Account) error { return adoptAll(ctx, m.out, a, found) }, nil)
}

func adoptAll(ctx context.Context, out io.Writer, account *mailbox.Account, found []mailbox.Survey) error {
	failed := false
	for i := range found {
		s := &found[i]
		if s.Served {
			fmt.Fprintf(out, "  %s: roost serves it already\n", s.Name)
			continue
		}
		mb, err := account.Mailbox(ctx, s.Name)
		if err != nil {
			fmt.Fprintf(out, "  %s: %v\n", s.Name, err)
			failed = true
			continue
		}
		tellAdopted(out, s, mb)
		failed = failed || mb.Adoption().Problem != nil
		mb.Release()
	}
	if failed {
		return errors.New("not every mailbox could be taken over, see above")
	}
	return nil
}

// tellSurvey prints what would be taken over; the error says that something cannot.
func tellSurvey(out io.Writer, found []mailbox.Survey) error {
	failed := 0
	for i := range found {
		s := &found[i]
		switch {
		case s.Served:
			fmt.Fprintf(out, "  %s: roost serves it already\n", s.Name)
		case s.Problem != nil:
			failed++
			fmt.Fprintf(out, "  %s: CANNOT be taken over from %s: %v\n", s.Name, s.From, s.Problem)
		case s.From == "":
			fmt.Fprintf(out, "  %s: nothing to take over: a new UIDVALIDITY; %d messages get new UIDs\n", s.Name, s.Messages)
		default:
			fmt.Fprintf(out, "  %s: from %s: UIDVALIDITY %d, UIDNEXT %d; %d of %d messages keep their UIDs\n",
				s.Name, s.File, s.UIDValidity, s.UIDNext, s.Kept, s.Messages)
		}
		tellDetails(out, s)
	}
	if failed > 0 {
		return fmt.Errorf("%d mailboxes cannot be taken over: they would get a new UIDVALIDITY, and clients would load them again", failed)
	}
	return nil
}

func tellDetails(out io.Writer, s *mailbox.Survey) {
	if s.Served {
		return
	}
	note := func(format string, args ...any) { fmt.Fprintf(out, "    "+format+"\n", args...) }
	if len(s.Keywords) > 0 {
		note("keywords: %s", strings.Join(s.Keywords, " "))
	}
	if s.Gone > 0 {
		note("%d entries of messages that are gone", s.Gone)
	}
	if s.Twice > 0 {
		note("%d messages are listed with two UIDs: the later one counts", s.Twice)
	}
	if s.Older != "" {
		note("%s is older and is not used", s.Older)
	}
	if s.Nameless != "" {
		note("letters without a name in dovecot-keywords stay in the names of files and are not shown: %s", s.Nameless)
	}
	if s.Full {
		note("all 26 letters are taken: keywords beyond them are only in dovecot.index and cannot be taken over")
	}
}

func tellAdopted(out io.Writer, s *mailbox.Survey, mb *mailbox.Mailbox) {
	a := mb.Adoption()
	switch {
	case a.Problem != nil:
		fmt.Fprintf(out, "  %s: could NOT be taken over: %v\n    new UIDVALIDITY %d: clients load it again\n", s.Name, a.Problem, mb.UIDValidity())
	case a.From == "":
		fmt.Fprintf(out, "  %s: nothing to take over: UIDVALIDITY %d\n", s.Name, mb.UIDValidity())
	default:
		fmt.Fprintf(out, "  %s: taken over from %s: UIDVALIDITY %d; %d messages keep their UIDs, %d got new ones\n",
			s.Name, a.From, mb.UIDValidity(), a.Messages, a.Fresh)
	}
	tellDetails(out, s)
}
