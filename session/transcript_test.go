package session

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"roost/auth"
	"roost/mailbox"
)

// Transcripts are conversations in testdata/*.imap, the specification of the
// sessions by example. Each is run twice: with whole lines, and one octet at a
// time.
//
//	# RFC 9051 §6.4.3: what it shows    messages: 3  sessions: 2
//	C1: a1 NOOP              the client of session 1 sends a line
//	S1: * 4 EXISTS           the server must answer with this
//	?1: * 1 RECENT           it may answer with this
//	!1: * $ EXPUNGE          it must not, even where ? or $ would allow it
//	| continued              more of the line above, behind CRLF
//
// The first line cites the RFC and may set: messages (in INBOX, 0), sessions
// (1), state (preauth, auth, or selected: INBOX is; the default), greeting (to
// see it). Before the first C line may stand:
//
//	config: prefix = "INBOX/"        see configure
//	mailbox: Drafts                  a Maildir++ directory
//	message: Drafts (\Seen)          one more message, its text in | lines
//	pipelined                        C lines without others between are one write
//	login: 2 bob                     session 2 is bob's; the others are alice's, as the mail is
//	whole                            not one octet at a time: it would be another story
//
// A C line that has a tag ends with the tagged answer, which is OK unless
// another S line gives it. The S, ? and ! lines after it tell what comes up to
// there, in any order; anything else fails, but for what SELECT and EXAMINE
// always tell. An S line that begins with + ends
// the wait, and the next C line belongs to the same command; so does one of a
// literal {n}. "S1: closed" wants the end of the connection. S lines of another
// session are awaited there: what IDLE pushes. C1* repeats the command until
// all its S lines came.
//
// In S lines $x binds a word, or stands for what it was bound to, $ is
// anything. In C lines $x stands for what it was bound to.
//
//	disk: deliver new.1              a file into new/; its text in | lines
//	disk: mv cur/@2* cur/@2:2,S      @2 is the base of message 2
//	disk: rm cur/@3*
//	disk: mkdir .Sub                 a Maildir
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.imap")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		tr, err := parseTranscript(string(data))
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		name := strings.TrimSuffix(filepath.Base(file), ".imap")
		for _, oneByte := range []bool{false, true} {
			if oneByte && tr.whole {
				continue
			}
			t.Run(fmt.Sprintf("%s/oneByte=%v", name, oneByte), func(t *testing.T) {
				t.Parallel()
				tr.run(t, oneByte)
			})
		}
	}
}

// A transcript is one parsed file.
type transcript struct {
	messages, sessions int
	state              string
	greeting           bool
	pipelined, whole   bool
	setup              []entry
	entries            []entry
}

// An entry is one line with its continuation.
type entry struct {
	line    int
	kind    byte // C, S, ?, !, or d for a directive
	session int
	repeat  bool
	key     string // of a directive
	text    string
}

var (
	entryLine  = regexp.MustCompile(`^([CS?!])(\d)(\*?): ?(.*)$`)
	settings   = regexp.MustCompile(`\b(messages|sessions|state): (\w+)`)
	directives = []string{"config", "mailbox", "message", "disk", "login"}
)

func parseTranscript(data string) (*transcript, error) {
	tr := &transcript{sessions: 1, state: "selected"}
	started := false
	for i, line := range strings.Split(data, "\n") {
		line = strings.TrimRight(line, " \t")
		all := &tr.setup
		if started {
			all = &tr.entries
		}
		switch key, value, found := strings.Cut(line, ": "); {
		case i == 0:
			if !strings.HasPrefix(line, "# ") || !strings.Contains(line, "RFC ") {
				return nil, fmt.Errorf("line 1 must cite an RFC")
			}
			tr.greeting = strings.HasSuffix(line, "greeting")
			for _, m := range settings.FindAllStringSubmatch(line, -1) {
				n, _ := strconv.Atoi(m[2])
				switch m[1] {
				case "messages":
					tr.messages = n
				case "sessions":
					tr.sessions = n
				case "state":
					tr.state = m[2]
				}
			}
		case line == "", line[0] == '#':
		case line == "pipelined":
			tr.pipelined = true
		case line == "whole":
			tr.whole = true
		case line[0] == '|':
			if len(*all) == 0 {
				return nil, fmt.Errorf("line %d continues nothing", i+1)
			}
			e := &(*all)[len(*all)-1]
			e.text += "\r\n" + strings.TrimPrefix(strings.TrimPrefix(line, "|"), " ")
		case entryLine.MatchString(line):
			started = true
			m := entryLine.FindStringSubmatch(line)
			n, _ := strconv.Atoi(m[2])
			if n < 1 || n > tr.sessions {
				return nil, fmt.Errorf("line %d: no session %d", i+1, n)
			}
			tr.entries = append(tr.entries, entry{line: i + 1, kind: m[1][0], session: n, repeat: m[3] != "", text: m[4]})
		case found && slices.Contains(directives, key):
			*all = append(*all, entry{line: i + 1, kind: 'd', key: key, text: value})
		default:
			return nil, fmt.Errorf("line %d: %q", i+1, line)
		}
	}
	return tr, nil
}

// configure sets what a config line says.
func configure(t *testing.T, mo *mailbox.Options, opt *Options, text string) {
	key, value, _ := strings.Cut(text, " = ")
	value = strings.Trim(value, `"`)
	number, _ := strconv.Atoi(value)
	switch key {
	case "prefix":
		mo.Prefix = value
	case "shared":
		mo.Shared.Prefix = value
	case "separator":
		mo.Separator = value[0]
	case "layout":
		mo.Layout = value
	case "keep_new":
		mo.KeepNew = value == "true"
	case "literal_minus":
		opt.LiteralMinus = value == "true"
	case "disable":
		opt.Disable = strings.Fields(value)
	case "plaintext":
		if value == "never" {
			opt.Plaintext = nil
		}
	case "message_limit":
		opt.MessageLimit = number
	case "save_limit":
		opt.SaveLimit = number
	case "append":
		opt.Limits.Append = int64(number)
	case "quota_storage":
		quotaOf(opt).Storage = int64(number)
	case "quota_messages":
		quotaOf(opt).Messages = int64(number)
	case "quota_mailboxes":
		quotaOf(opt).Mailboxes = int64(number)
	case "metadata_value":
		mo.Metadata.Value = int64(number)
	case "metadata_entries":
		mo.Metadata.Entries = number
	case "metadata_mailbox":
		mo.Metadata.Mailbox = int64(number)
	case "server_admin":
		opt.ServerAdmin = value
	case "server_comment":
		opt.ServerComment = value
	case "notify_mailboxes":
		opt.Limits.NotifyMailboxes = number
	case "auth_failures":
		opt.Limits.AuthFailures = number
	case "special_use":
		name, use, _ := strings.Cut(value, " ")
		if mo.SpecialUse == nil {
			mo.SpecialUse = map[string]string{}
		}
		mo.SpecialUse[name] = use
	default:
		t.Fatalf("unknown config %q", text)
	}
}

// quotaOf gives the quota that opt gives to users, to be changed.
func quotaOf(opt *Options) *mailbox.Quota {
	q := &mailbox.Quota{}
	mail := opt.Mail
	opt.Mail = func(u auth.User) (mailbox.User, error) {
		mu, err := mail(u)
		for _, f := range []struct{ from, to *int64 }{{&q.Storage, &mu.Quota.Storage}, {&q.Messages, &mu.Quota.Messages}, {&q.Mailboxes, &mu.Quota.Mailboxes}} {
			if *f.from != 0 {
				*f.to = *f.from
			}
		}
		return mu, err
	}
	return q
}

// A play is a transcript that runs.
type play struct {
	t       *testing.T
	h       *harness
	clients []*client
	tags    []string // of the command that each client waits for, empty: none
	bound   map[string]string
	placed  map[string]int // messages by directory

	described bool // SELECT is among the commands
}

func (tr *transcript) run(t *testing.T, oneByte bool) {
	p := &play{t: t, bound: map[string]string{}, placed: map[string]int{}}
	p.h = newHarness(t, func(mo *mailbox.Options, opt *Options) {
		for _, e := range tr.setup {
			if e.key == "config" {
				configure(t, mo, opt, e.text)
			}
		}
	})
	for range tr.messages {
		p.place("INBOX")
	}
	for _, e := range tr.setup {
		switch e.key {
		case "mailbox":
			p.mkdir("." + e.text)
		case "message":
			p.place(e.text)
		case "disk":
			p.disk(e.text)
		}
	}
	users := map[string]string{}
	for _, e := range tr.setup {
		if number, user, ok := strings.Cut(e.text, " "); ok && e.key == "login" {
			users[number] = user
		}
	}
	for n := range tr.sessions {
		c := p.h.dial(oneByte)
		p.clients = append(p.clients, c)
		p.tags = append(p.tags, "")
		if !tr.greeting {
			c.next()
		}
		if tr.state != "preauth" {
			user, other := users[strconv.Itoa(n+1)]
			if !other {
				user = testUser
			}
			c.loginAs(user)
		}
		if tr.state == "selected" {
			c.ok("select", "SELECT INBOX")
		}
	}
	tr.play(p)
}

// place writes a message "MAILBOX (FLAGS)" with its text behind the first line.
func (p *play) place(text string) {
	head, content, _ := strings.Cut(text, "\r\n")
	name, flags, _ := strings.Cut(head, " ")
	dir := ""
	if name != "INBOX" {
		dir = "." + name
	}
	p.placed[dir]++
	n := p.placed[dir]
	if content == "" {
		content = fmt.Sprintf("Subject: message %d\r\n\r\nbody %d\r\n", n, n)
	}
	letters := ""
	for _, l := range []struct{ flag, letter string }{
		{`\Draft`, "D"}, {`\Flagged`, "F"}, {`\Answered`, "R"}, {`\Seen`, "S"}, {`\Deleted`, "T"},
	} {
		if strings.Contains(flags, l.flag) {
			letters += l.letter
		}
	}
	letters = p.keywordLetters(dir, flags, letters)
	file := filepath.Join(p.h.home, dir, "cur", p.base(n)+":2,"+letters)
	if strings.Contains(flags, `\Recent`) {
		file = filepath.Join(p.h.home, dir, "new", p.base(n))
	}
	p.write(file, content)
	at := time.Date(2020, 2, 1, 12, 0, n, 0, time.UTC)
	if err := os.Chtimes(file, at, at); err != nil {
		p.t.Fatal(err)
	}
}

// keywordLetters adds the letters of the keywords in flags, which get slots in
// dovecot-keywords as another server would give them.
func (p *play) keywordLetters(dir, flags, letters string) string {
	for _, name := range strings.Fields(strings.Trim(flags, "()")) {
		switch {
		case strings.HasPrefix(name, `\`):
		case name == "$Forwarded":
			letters = "P" + letters
		default:
			file := filepath.Join(p.h.home, dir, "dovecot-keywords")
			known, err := os.ReadFile(file)
			if err != nil && !os.IsNotExist(err) {
				p.t.Fatal(err)
			}
			slot := strings.Count(string(known), "\n")
			p.write(file, string(known)+strconv.Itoa(slot)+" "+name+"\n")
			letters += string(rune('a' + slot))
		}
	}
	capitals := strings.TrimRight(letters, "abcdefghijklmnopqrstuvwxyz")
	sorted := []byte(capitals)
	slices.Sort(sorted)
	return string(sorted) + letters[len(capitals):]
}

// base is the base of message n of any mailbox.
func (p *play) base(n int) string {
	return strconv.FormatInt(time.Date(2020, 2, 1, 12, 0, n, 0, time.UTC).Unix(), 10) + ".M" + strconv.Itoa(n) + ".test"
}

func (p *play) write(file, content string) {
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(content, "\r\n", "\n")), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

func (p *play) mkdir(dir string) {
	for _, sub := range []string{"cur", "new", "tmp"} {
		if err := os.MkdirAll(filepath.Join(p.h.home, dir, sub), 0o700); err != nil {
			p.t.Fatal(err)
		}
	}
}

var baseOf = regexp.MustCompile(`@(\d+)`)

// disk does what another program would.
func (p *play) disk(text string) {
	head, content, _ := strings.Cut(text, "\r\n")
	head = baseOf.ReplaceAllStringFunc(head, func(s string) string {
		n, _ := strconv.Atoi(s[1:])
		return p.base(n)
	})
	words := strings.Fields(head)
	if len(words) < 2 {
		p.t.Fatalf("disk: %q", head)
	}
	path := filepath.Join(p.h.home, words[1])
	switch words[0] {
	case "deliver":
		if content == "" {
			content = "Subject: " + words[1] + "\n\nbody\n"
		}
		dir, base := filepath.Split(words[1])
		p.h.deliver(dir, base, strings.ReplaceAll(content, "\r\n", "\n"))
	case "mkdir":
		p.mkdir(words[1])
	case "mv", "rm":
		found, err := filepath.Glob(path)
		if err != nil || len(found) != 1 {
			p.t.Fatalf("disk: %q is %q, %v", words[1], found, err)
		}
		if words[0] == "rm" {
			err = os.RemoveAll(found[0])
		} else {
			err = os.Rename(found[0], filepath.Join(p.h.home, words[2]))
		}
		if err != nil {
			p.t.Fatal(err)
		}
	default:
		p.t.Fatalf("disk: %q", head)
	}
}

// play goes through the entries.
func (tr *transcript) play(p *play) {
	for i := 0; i < len(tr.entries); {
		e := tr.entries[i]
		if e.kind == 'd' {
			p.disk(e.text)
			i++
			continue
		}
		// One client line, or a run of them, and what belongs to it.
		j := i
		for j < len(tr.entries) && tr.entries[j].kind == 'C' && (j == i || tr.pipelined && tr.entries[j].session == e.session) {
			j++
		}
		k := j
		for k < len(tr.entries) && strings.IndexByte("S?!", tr.entries[k].kind) >= 0 {
			k++
		}
		p.exchange(tr.entries[i:j], tr.entries[j:k])
		i = k
	}
}

// exchange sends lines and checks what they bring.
func (p *play) exchange(lines, expected []entry) {
	p.t.Helper()
	sender := 0
	if len(lines) > 0 {
		sender = lines[0].session
		deadline := time.Now().Add(patience)
		for {
			missing := p.command(lines, ofSession(expected, sender))
			if missing == "" {
				break
			}
			if !lines[0].repeat || time.Now().After(deadline) {
				p.t.Fatal(missing)
			}
			<-time.After(5 * time.Millisecond)
		}
	}
	for n := 1; n <= len(p.clients); n++ {
		if pushed := ofSession(expected, n); n != sender && len(pushed) > 0 {
			if missing := p.check(n, pushed, nil, true); missing != "" {
				p.t.Fatal(missing)
			}
		}
	}
}

func ofSession(all []entry, n int) (some []entry) {
	for _, e := range all {
		if e.session == n {
			some = append(some, e)
		}
	}
	return some
}

// command sends lines of one client and reads up to the last tagged answer.
func (p *play) command(lines, expected []entry) string {
	n := lines[0].session
	var out strings.Builder
	var tags []string
	for _, e := range lines {
		text := p.substitute(e.text)
		out.WriteString(text + "\r\n")
		if p.tags[n-1] == "" {
			p.tags[n-1], _, _ = strings.Cut(text, " ")
		}
		last := text[strings.LastIndexByte(text, '\n')+1:]
		if size, ok := literalSize(last); ok && strings.HasSuffix(last, "+}") {
			_ = size // the literal is on the next line of the same command
			continue
		} else if ok && !slices.ContainsFunc(expected, func(e entry) bool { return e.kind == 'S' && isTagged(e.text, p.tags[n-1]) }) {
			if len(expected) == 0 {
				expected = []entry{{line: e.line, kind: 'S', session: n, text: "+ $"}}
			}
			tags = append(tags, p.tags[n-1])
			continue
		}
		tags = append(tags, p.tags[n-1])
		p.tags[n-1] = ""
	}
	p.clients[n-1].send(out.String())
	if len(tags) == 0 {
		return ""
	}
	p.described = selects.MatchString(out.String())
	if plus := slices.ContainsFunc(expected, func(e entry) bool { return e.kind == 'S' && strings.HasPrefix(e.text, "+") }); plus {
		p.tags[n-1] = tags[len(tags)-1]
		return p.check(n, expected, tags[:len(tags)-1], true)
	}
	return p.check(n, expected, tags, false)
}

var (
	selects     = regexp.MustCompile(`(?im)^\S+ (SELECT|EXAMINE) `)
	description = regexp.MustCompile(`^\* (FLAGS |LIST |\d+ EXISTS|\d+ RECENT|OK \[(PERMANENTFLAGS|UNSEEN|UIDVALIDITY|UIDNEXT|HIGHESTMODSEQ|MAILBOXID) )`)
)

func isTagged(text, tag string) bool { return strings.HasPrefix(text, tag+" ") }

var keyword = regexp.MustCompile(`^\$[A-Z]+[a-z]`)

var variable = regexp.MustCompile(`\$([a-z][a-z0-9]*)`)
