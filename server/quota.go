package server

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"roost/config"
	"roost/mailbox"
)

// quotaOf gives the quota of a user: each limit from the extra fields of the
// users file, else from the configuration. The fields are quota_storage (a size),
// quota_messages and quota_mailboxes, and Dovecot's quota_rule for all mailboxes
// (*:storage=1G:messages=1000); each may begin with userdb_. The error names what
// cannot be read, for which the configuration counts.
func quotaOf(cfg config.Quota, extra map[string]string) (mailbox.Quota, error) {
	q := mailbox.Quota{Storage: int64(cfg.Storage), Messages: int64(cfg.Messages), Mailboxes: int64(cfg.Mailboxes)}
	field := func(name string) (string, bool) {
		if v, ok := extra[name]; ok {
			return v, true
		}
		v, ok := extra["userdb_"+name]
		return v, ok
	}
	var problem error
	if rule, ok := field("quota_rule"); ok {
		if err := quotaRule(&q, rule); err != nil {
			problem = fmt.Errorf("server: quota_rule %q: %w", rule, err)
		}
	}
	for _, f := range []struct {
		name string
		to   *int64
	}{{"quota_storage", &q.Storage}, {"quota_messages", &q.Messages}, {"quota_mailboxes", &q.Mailboxes}} {
		text, ok := field(f.name)
		if !ok {
			continue
		}
		var n int64
		var err error
		if f.to == &q.Storage {
			var size config.Size
			size, err = config.ParseSize(text)
			n = int64(size)
		} else {
			n, err = count(text)
		}
		if err != nil {
			problem = fmt.Errorf("server: %s %q: %w", f.name, text, err)
			continue
		}
		*f.to = n
	}
	return q, problem
}

func count(text string) (int64, error) {
	n, err := strconv.ParseUint(text, 10, 63)
	if err != nil {
		return 0, fmt.Errorf("server: not a number")
	}
	return int64(n), nil
}

// quotaRule reads a rule of Dovecot, in which sizes are kilobytes unless a unit
// follows them. Rules for single mailboxes are not known.
func quotaRule(q *mailbox.Quota, rule string) error {
	parts := strings.Split(rule, ":")
	if parts[0] != "*" {
		return fmt.Errorf("server: only rules for all mailboxes (*) are known")
	}
	got := *q
	for _, p := range parts[1:] {
		name, value, _ := strings.Cut(p, "=")
		switch name {
		case "storage":
			n, err := dovecotSize(value)
			if err != nil {
				return err
			}
			got.Storage = n
		case "messages":
			n, err := count(value)
			if err != nil {
				return err
			}
			got.Messages = n
		default:
			return fmt.Errorf("server: %q is not known", p)
		}
	}
	*q = got
	return nil
}

func dovecotSize(s string) (int64, error) {
	unit, digits := int64(1<<10), s
	if n := len(s); n > 0 {
		if i := strings.IndexByte("bkmgt", s[n-1]|0x20); i >= 0 && s[n-1] >= 'A' {
			unit, digits = 1<<(10*i), s[:n-1]
		}
	}
	n, err := count(digits)
	if err != nil || n > math.MaxInt64/unit {
		return 0, fmt.Errorf("server: %q is not a size", s)
	}
	return n * unit, nil
}
