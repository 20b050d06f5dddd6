package server

import (
	"testing"

	"roost/auth"
	"roost/config"
	"roost/mailbox"
)

func TestQuotaOf(t *testing.T) {
	cfg := config.Quota{Storage: config.GiB, Messages: 1000}
	for _, c := range []struct {
		extra map[string]string
		want  mailbox.Quota
		bad   bool
	}{
		{nil, mailbox.Quota{Storage: 1 << 30, Messages: 1000}, false},
		{map[string]string{"quota_storage": "2GiB"}, mailbox.Quota{Storage: 2 << 30, Messages: 1000}, false},
		{map[string]string{"userdb_quota_storage": "5MiB", "quota_mailboxes": "7"}, mailbox.Quota{Storage: 5 << 20, Messages: 1000, Mailboxes: 7}, false},
		{map[string]string{"quota_messages": "0"}, mailbox.Quota{Storage: 1 << 30}, false}, // no limit
		{map[string]string{"userdb_quota_rule": "*:storage=3G:messages=5"}, mailbox.Quota{Storage: 3 << 30, Messages: 5}, false},
		{map[string]string{"quota_rule": "*:storage=10"}, mailbox.Quota{Storage: 10 << 10, Messages: 1000}, false},
		{map[string]string{"quota_rule": "*:storage=10b", "quota_storage": "1B"}, mailbox.Quota{Storage: 1, Messages: 1000}, false},
		{map[string]string{"quota_rule": "Trash:ignore"}, mailbox.Quota{Storage: 1 << 30, Messages: 1000}, true},
		{map[string]string{"quota_rule": "*:storage=1G:bytes=1"}, mailbox.Quota{Storage: 1 << 30, Messages: 1000}, true},
		{map[string]string{"quota_storage": "lots"}, mailbox.Quota{Storage: 1 << 30, Messages: 1000}, true},
		{map[string]string{"quota_messages": "-1"}, mailbox.Quota{Storage: 1 << 30, Messages: 1000}, true},
		{map[string]string{"quota_rule": "*:storage=9999999999999T"}, mailbox.Quota{Storage: 1 << 30, Messages: 1000}, true},
	} {
		got, err := quotaOf(cfg, c.extra)
		if got != c.want || (err != nil) != c.bad {
			t.Errorf("%v: %+v, %v, want %+v", c.extra, got, err, c.want)
		}
	}
	full := config.Default()
	full.Quota = cfg
	if u, err := mailOf(full, auth.User{Name: "u", Extra: map[string]string{"quota_messages": "5"}}); err != nil || u.Quota != (mailbox.Quota{Storage: 1 << 30, Messages: 5}) {
		t.Errorf("%+v, %v", u, err)
	}
}
