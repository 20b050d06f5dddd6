package config

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestExampleConfig(t *testing.T) {
	const path = "../config.toml.example"
	cfg, problems := Load(path)
	if len(problems) > 0 {
		t.Fatalf("the example has problems:\n%v", problems)
	}
	if want := Default(); !sameConfig(cfg, want) {
		t.Errorf("the example differs from the defaults:\n got %+v\nwant %+v", cfg, want)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	given := keysIn(t, string(data))
	for _, key := range Keys() {
		if given[key] != 1 {
			t.Errorf("key %s occurs %d times in the example, want once", key, given[key])
		}
		delete(given, key)
	}
	for key := range given {
		if !strings.HasPrefix(key, "mail.special_use.") {
			t.Errorf("key %s of the example is unknown", key)
		}
	}
}

// sameConfig compares, taking an empty list for an absent one.
func sameConfig(a, b *Config) bool {
	norm := func(c Config) Config {
		for _, l := range []*[]string{&c.Mail.Autocreate, &c.Mail.Autosubscribe, &c.IMAP.Disable} {
			if len(*l) == 0 {
				*l = nil
			}
		}
		return c
	}
	return reflect.DeepEqual(norm(*a), norm(*b))
}

// keysIn counts the keys of a file that has one key or table header a line.
func keysIn(t *testing.T, text string) map[string]int {
	t.Helper()
	header, key := regexp.MustCompile(`^\[([a-z_.]+)\]$`), regexp.MustCompile(`^("[^"]+"|[a-z_]+) = `)
	out, table := map[string]int{}, ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if m := header.FindStringSubmatch(line); m != nil {
			table = m[1]
			if slices.Contains(Keys(), table) {
				out[table]++
			}
		} else if m := key.FindStringSubmatch(line); m != nil {
			out[join(table, m[1])]++
		} else if line != "" && line[0] != '#' {
			t.Errorf("line %q is neither key, header nor comment", line)
		}
	}
	return out
}

// What the example says of [shared] is a configuration.
func TestExampleShared(t *testing.T) {
	data, err := os.ReadFile("../config.toml.example")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(string(data), "[shared]\nprefix = \"\"", "[shared]\nprefix = \"shared/\"", 1)
	cfg, problems := Parse([]byte(text), "/etc/roost/config.toml")
	if len(problems) > 0 || cfg.Shared.Prefix != "shared/" {
		t.Fatalf("%+v\n%v", cfg, problems)
	}
}

func TestDefaultIsValid(t *testing.T) {
	cfg, problems := Parse(nil, "/etc/roost/config.toml")
	if len(problems) > 0 {
		t.Fatalf("an empty file has problems:\n%v", problems)
	}
	if !sameConfig(cfg, Default()) {
		t.Error("an empty file is not the default")
	}
	if cfg.Limits.UserConnections != 100 || cfg.Limits.UserIPConnections != 30 || cfg.Limits.Idle.D() != 31*time.Minute || cfg.Limits.Append != 128*MiB {
		t.Errorf("wrong limits: %+v", cfg.Limits)
	}
}

func TestEveryRangeHoldsItsDefault(t *testing.T) {
	// Parse checks only what a file gives, so give everything: the example test
	// does, and here the tags must be readable for every number.
	var walk func(v reflect.Value, prefix string)
	walk = func(v reflect.Value, prefix string) {
		for name, f := range fieldsOf(v) {
			if f.value.Kind() == reflect.Struct {
				walk(f.value, join(prefix, name))
				continue
			}
			switch f.value.Interface().(type) {
			case int, Size, Duration:
				if f.tag.Get("min") == "" || f.tag.Get("max") == "" {
					t.Errorf("%s has no range", join(prefix, name))
				}
			}
			if name == "" {
				t.Errorf("a field in [%s] has no key", prefix)
			}
		}
	}
	walk(reflect.ValueOf(Default()).Elem(), "")
}

func TestProblems(t *testing.T) {
	tests := []struct {
		name, in string
		want     []string // substrings, one per problem in order
	}{
		{"unknown key", "[listen]\nimpas = []\n", []string{`c.toml:2: warning: listen.impas: unknown key, ignored; did you mean "listen.imaps"?`}},
		{"unknown key at the top", "lisetn = 1\n", []string{`:1: warning: lisetn: unknown key, ignored; did you mean "listen"?`}},
		{"key in the wrong table", "[server]\nkeep_new = true\n", []string{`server.keep_new: unknown key, ignored; did you mean "mail.keep_new"?`}},
		{"nothing near", "[server]\nbanana_split = 1\n", []string{"unknown key, ignored; remove it"}},
		{"many at once", "[mail]\nlayout = \"maildir\"\nseparator = 3\n\n[limits]\nline = \"1KiB\"\nidle = 30\n[log]\nlevel = \"warning\"\n", []string{
			`:2: error: mail.layout: "maildir" is not possible here; did you mean "maildir++"?`,
			`:3: error: mail.separator: it must be a string`,
			`:6: error: limits.line: "1KiB" is out of range; use a value from "8KiB" to "16MiB"`,
			`:7: error: limits.idle: the unit is missing; write the unit in quotes, such as "30s"`,
			`:9: error: log.level: "warning" is not possible here; did you mean "warn"?`,
		}},
		{"syntax", "version = 1\n[mail\n", []string{":2: error: "}},
		{"duplicate key", "[mail]\nprefix = \"\"\nprefix = \"\"\n", []string{":3: error: "}},
		{"version", "version = 2\n", []string{":1: error: version: 2 is out of range; use a value from 1 to 1"}},
		{"table expected", "mail = 3\n", []string{":1: error: mail: it must be a table"}},
		{"array of tables", "[[mail]]\npath = \"/x/%u\"\n", []string{"mail: it must be a table"}},
		{"size", "[limits]\nline = \"64KB\"\nliteral = true\n", []string{
			`:2: error: limits.line: cannot read size "64KB": the units are B, KiB, MiB, GiB and TiB`, `:3: error: limits.literal: it must be a number with a unit`}},
		{"duration", "[limits]\npoll = \"soon\"\n", []string{`:2: error: limits.poll: cannot read duration "soon"`}},
		{"negative duration", "[limits]\npoll = \"-3s\"\n", []string{`limits.poll: cannot read duration`}},
		{"list", "[listen]\nimap = \"127.0.0.1:143\"\n", []string{`listen.imap: it must be a list of strings; write it as`}},
		{"bool", "[mail]\nkeep_new = \"yes\"\n", []string{"mail.keep_new: it must be true or false"}},
		{"int", "[limits]\ndepth = \"126\"\n", []string{"limits.depth: it must be a whole number"}},
		{"trusted", "[limits]\ntrusted = [\"10.0.0.0/8\", \"office\", \"::1/64\"]\n", []string{`:2: error: limits.trusted: "office" is neither an address nor a network`}},
		{"addresses", "[listen]\nimap = [\"143\", \"a:b\", \"[::1]:143\"]\nadmin = \"0.0.0.0:9143\"\n", []string{
			`listen.imap: "143"`, `"b" is not a port`, `warning: listen.admin`}},
		{"same address", "[listen]\nimap = [\"[::1]:993\"]\nimaps = [\"[::1]:993\"]\n", []string{`:3: error: listen.imaps: "[::1]:993" is also in listen.imap`}},
		{"no address", "[listen]\nimap = []\nimaps = []\n", []string{"there is no address to listen on"}},
		{"tls half", "[tls]\ncert = \"\"\n", []string{"tls.cert: tls.key is set, but the certificate is not"}},
		{"imaps without tls", "[tls]\ncert = \"\"\nkey = \"\"\n", []string{"listen.imaps: TLS needs a certificate"}},
		{"public without tls", "[listen]\nimap=[\":143\"]\nimaps=[]\n[tls]\ncert = \"\"\nkey = \"\"\n", []string{"warning: listen.imap: without a certificate nobody"}},
		{"plaintext on the net", "[listen]\nimap=[\":143\"]\n[auth]\nplaintext=\"always\"\n", []string{"warning: auth.plaintext: passwords may cross"}},
		{"template", "[mail]\npath = \"/mail/%x\"\nindex = \"/idx/%\"\n", []string{`mail.path: unknown variable "%x"`, "mail.index: it ends with a single %"}},
		{"shared", "[mail]\npath = \"/mail\"\n", []string{"warning: mail.path: it names no user"}},
		{"tilde", "[mail]\npath = \"~/Maildir\"\n", []string{"write %h"}},
		{"home in the middle", "[mail]\npath = \"/x/%h\"\n", []string{`start with it, as in "%h/Maildir"`}},
		{"dots", "[mail]\npath = \"/x/../%u\"\n", []string{`it has a ".."`}},
		{"empty path", "[mail]\npath = \"\"\n", []string{"mail.path: it is empty"}},
		{"prefix", "[mail]\nprefix = \"INBOX.\"\n", []string{`mail.prefix: it must be a name that ends with the separator "/"; write it as "INBOX/"`}},
		{"shared prefix", "[shared]\nprefix = \"shared\"\n", []string{`:2: error: shared.prefix: it must be a name that ends with the separator "/"; write it as "shared/"`}},
		{"shared separator", "[mail]\nseparator = \".\"\n[shared]\nprefix = \"shared/\"\n", []string{`write it as "shared."`}},
		{"shared clash", "[mail]\nprefix = \"user/\"\n[shared]\nprefix = \"user/\"\n", []string{`:4: error: shared.prefix: it clashes with mail.prefix "user/"`}},
		{"shared inside", "[mail]\nprefix = \"a/b/\"\n[shared]\nprefix = \"a/\"\n", []string{`it clashes with mail.prefix`}},
		{"shared below INBOX", "[shared]\nprefix = \"Inbox/shared/\"\n", []string{`what is below INBOX`}},
		{"shared wildcard", "[shared]\nprefix = \"a*/\"\n", []string{`"a*/" cannot be part`}},
		{"shared root", "[shared]\nprefix = \"/\"\n", []string{`shared.prefix`}},
		{"shared and own", "[mail]\nautocreate = [\"Drafts\"]\n[shared]\nprefix = \"Drafts/\"\n", []string{`"Drafts" of mail.autocreate`}},
		{"shared key", "[shared]\nprefx = \"shared/\"\n", []string{`did you mean "shared.prefix"?`}},
		{"escape", "[mail]\nescape = \"a\"\n", []string{"mail.escape"}},
		{"special use", "[mail.special_use]\n\"INBOX\" = '\\Sent'\n\"X\" = '\\Nope'\n\"Y\" = '\\sent'\n", []string{"INBOX has no special use", `"\\Nope" of "X" is not an attribute`}},
		{"special use type", "[mail]\nspecial_use = 3\n", []string{"mail.special_use: it must be a table of strings"}},
		{"autocreate", "[mail]\nautocreate = [\"Draft\", \"Drafts\"]\n", []string{`mail.autocreate: "Draft" is not in [mail.special_use]; did you mean "Drafts"?`}},
		{"disable", "[imap]\ndisable = [\"A B\"]\n", []string{`"A B" is not the name of a capability`}},
		{"users", "[auth]\nusers = \"\"\n", []string{"nobody could log in"}},
		{"limits against each other", "[limits]\nuser_connections = 5\n", []string{":2: error: limits.user_connections: limits.user_ip_connections (30) is above limits.user_connections (5)"}},
		{"idle", "[limits]\nidle = \"10m\"\n", []string{"warning: limits.idle"}},
		{"message limit", "[imap]\nmessage_limit = 999\nsave_limit = 1000\n", []string{`imap.message_limit: 999 is too low; use 0 for no limit, or 1000 and more`}},
		{"admin", "[imap]\nadmin = \"postmaster\"\n", []string{`imap.admin: "postmaster" is not a URI; write a URI`}},
		{"quota", "[quota]\nstorage = -1\nmessages = \"many\"\n", []string{"quota.storage", "quota.messages: it must be a whole number"}},
		{"metadata", "[limits]\nmetadata_value = \"1MiB\"\nmetadata_mailbox = \"64KiB\"\n", []string{"limits.metadata_value (1MiB) is above limits.metadata_mailbox (64KiB)"}},
		{"nul", "[auth]\nusers = \"/a\\u0000b\"\n", []string{"auth.users: the path holds a control character"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg, problems := Parse([]byte(tt.in), "/etc/roost/c.toml")
			if len(problems) != len(tt.want) {
				t.Fatalf("got %d problems, want %d:\n%v", len(problems), len(tt.want), problems)
			}
			for i, want := range tt.want {
				if got := problems[i].String(); !strings.Contains(got, want) {
					t.Errorf("problem %d:\n got %s\nwant %s", i, got, want)
				}
				if problems[i].Remedy == "" {
					t.Errorf("no remedy: %v", problems[i])
				}
			}
			if (cfg == nil) != (problems.Err() != nil) || (problems.Err() != nil) != (len(problems.Errors()) > 0) {
				t.Errorf("config %v with problems %v", cfg != nil, problems)
			}
		})
	}
}

func TestRelativePaths(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "100%", "config.toml")
	if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	text := "[tls]\ncert = \"a.pem\"\nkey = \"/b.pem\"\n[mail]\npath = \"mail/%u\"\nindex = \"%h/idx\"\n[auth]\nusers = \"users\"\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, problems := Load(path)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	got, err := Expand(cfg.Mail.Path, Vars{User: "ann"})
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(dir, "100%", "mail", "ann"); got != want {
		t.Errorf("mail.path expands to %q, want %q", got, want)
	}
	if want := filepath.Join(dir, "100%", "a.pem"); cfg.TLS.Cert != want || cfg.TLS.Key != "/b.pem" || cfg.Mail.Index != "%h/idx" {
		t.Errorf("got %q, %q, %q", cfg.TLS.Cert, cfg.TLS.Key, cfg.Mail.Index)
	}
	if _, problems := Load(filepath.Join(dir, "none.toml")); problems.Err() == nil {
		t.Error("a missing file is no error")
	}
}

func TestTooLarge(t *testing.T) {
	if cfg, problems := Parse(make([]byte, maxFileSize+1), "x"); cfg != nil || problems.Err() == nil {
		t.Error("a huge file was accepted")
	}
	// The deepest nesting that fits must not exhaust the stack.
	if cfg, _ := Parse([]byte("a = "+strings.Repeat("[", maxFileSize-8)), "x"); cfg != nil {
		t.Error("unclosed brackets were accepted")
	}
}

func TestSpecialUseOf(t *testing.T) {
	m := &Default().Mail
	for name, want := range map[string]string{"Sent": `\Sent`, "sent items": `\Sent`, "Spam": `\Junk`, "Deleted Messages": `\Trash`, "INBOX": "", "Work": ""} {
		if got := m.SpecialUseOf(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}

func TestDisabled(t *testing.T) {
	cfg, problems := Parse([]byte("[imap]\ndisable = [\"compress=deflate\"]\n"), "x")
	if len(problems) > 0 || !cfg.IMAP.Disabled("COMPRESS=DEFLATE") || cfg.IMAP.Disabled("IDLE") {
		t.Errorf("got %+v, %v", cfg, problems)
	}
}

func FuzzParse(f *testing.F) {
	example, err := os.ReadFile("../config.toml.example")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(example)
	f.Add([]byte("[limits]\nline = \"9KiB\"\nmemory = 1.5\n[mail.special_use.x]\ny = 1\n"))
	f.Add([]byte("[[mail]]\n[listen]\nimap = [[1]]\n\"\" = 3\n"))
	f.Add([]byte("a.\"b.c\".d = {e = [1979-05-27T07:32:00Z, inf]}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		cfg, problems := Parse(data, "/etc/roost/config.toml")
		if (cfg == nil) != (problems.Err() != nil) {
			t.Fatalf("config %v, problems %v", cfg, problems)
		}
		lines := strings.Count(string(data), "\n") + 1
		for _, p := range problems {
			if p.Text == "" || p.Remedy == "" || p.Line < 0 || p.Line > lines {
				t.Fatalf("bad problem: %+v", p)
			}
		}
		if cfg == nil {
			return
		}
		if path, err := Expand(cfg.Mail.Path, Vars{User: "ann@example.org", Home: "/home/ann"}); err == nil && path[0] != '/' {
			t.Fatalf("mail.path %q expands to %q", cfg.Mail.Path, path)
		}
	})
}
