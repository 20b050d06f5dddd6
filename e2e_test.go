package main

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/emersion/go-sasl"
)

// What follows is everything that go-imap's imapclient can ask, put to the real
// binary: a second reading of the RFCs that shares no line with ours but the nouns.

// e2eMultipart has a part in base64 and an attached message.
const e2eMultipart = "From: =?utf-8?q?J=C3=B6rg?= <joerg@example.org>\r\n" +
	"To: Anna <anna@example.org>, bob@example.org\r\nCc: c@example.org\r\n" +
	"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n" +
	"Date: Tue, 2 Jan 2024 12:00:00 +0100\r\n" +
	"Message-ID: <two@example.org>\r\nIn-Reply-To: <one@example.org>\r\nReferences: <one@example.org>\r\n" +
	"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b1\r\n\r\n" +
	"--b1\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\naGVsbG8=\r\n" +
	"--b1\r\nContent-Type: message/rfc822\r\nContent-Disposition: attachment; filename=inner.eml\r\n\r\n" +
	"From: inner@example.org\r\nSubject: inner\r\n\r\ninside\r\n--b1--\r\n"

// e2eSimple is the message number n of a plain kind.
func e2eSimple(n int) string {
	return fmt.Sprintf("From: Sender%d <s%d@example.org>\r\nTo: u@example.org\r\nSubject: message %d\r\n"+
		"Date: Mon, %d Jan 2024 10:00:00 +0000\r\nMessage-ID: <m%d@example.org>\r\n\r\nbody number %d\r\n", n, n, n, n, n, n)
}

func e2eAppend(t *testing.T, c *imapclient.Client, name, text string, opt *imap.AppendOptions) *imap.AppendData {
	t.Helper()
	cmd := c.Append(name, int64(len(text)), opt)
	if _, err := cmd.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Close(); err != nil {
		t.Fatal(err)
	}
	data, err := cmd.Wait()
	if err != nil {
		t.Fatalf("APPEND: %v", err)
	}
	return data
}

// e2eDone fails unless the command is answered with OK.
func e2eDone(t *testing.T, what string, cmd interface{ Wait() error }) {
	t.Helper()
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// e2eGot gives the data of a command that must be answered with OK.
func e2eGot[T any](t *testing.T, what string) func(data T, err error) T {
	return func(data T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		return data
	}
}

func e2eWant(t *testing.T, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// TestE2E shares one server among the families of commands, a mailbox each.
func TestE2E(t *testing.T) {
	s := newTestServer(t)
	s.start(t)
	for _, test := range []struct {
		name string
		run  func(*testing.T, *testServer, *imapclient.Client)
	}{
		{"Mailboxes", e2eMailboxes},
		{"Select", e2eSelect},
		{"Fetch", e2eFetch},
		{"FetchParts", e2eFetchParts},
		{"Store", e2eStore},
		{"ModSeq", e2eModSeq},
		{"CopyMoveExpunge", e2eCopyMoveExpunge},
		{"Search", e2eSearch},
		{"SortThread", e2eSortThread},
		{"Idle", e2eIdle},
		{"Account", e2eAccount},
		{"UTF8", e2eUTF8},
		{"Errors", e2eErrors},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := s.mustDial(t)
			defer c.Close()
			test.run(t, s, c)
			if err := c.Logout().Wait(); err != nil {
				t.Errorf("LOGOUT: %v", err)
			}
		})
	}
	t.Run("Login", func(t *testing.T) { e2eLogin(t, s) })
	s.signal(t, 15)
	if log := s.log.String(); strings.Contains(log, "panic") {
		t.Errorf("the server panicked:\n%s", tail(log, 4000))
	}
}

func e2eMailboxes(t *testing.T, _ *testServer, c *imapclient.Client) {
	e2eDone(t, "CREATE", c.Create("Lists/go", nil))
	e2eDone(t, "CREATE", c.Create("Post & mehr/Grüße", nil))
	e2eDone(t, "CREATE special", c.Create("Old", &imap.CreateOptions{SpecialUse: []imap.MailboxAttr{imap.MailboxAttrArchive}}))
	e2eDone(t, "SUBSCRIBE", c.Subscribe("Lists/go"))
	e2eDone(t, "RENAME", c.Rename("Post & mehr", "Neu", nil))
	list := func(pattern string, opt *imap.ListOptions) map[string]*imap.ListData {
		t.Helper()
		m := map[string]*imap.ListData{}
		for _, l := range e2eGot[[]*imap.ListData](t, "LIST")(c.List("", pattern, opt).Collect()) {
			m[l.Mailbox] = l
		}
		return m
	}
	names := func(m map[string]*imap.ListData) []string { return slices.Sorted(maps.Keys(m)) }

	all := list("*", nil)
	for _, name := range []string{"INBOX", "Lists/go", "Neu/Grüße", "Old"} {
		if l := all[name]; l == nil || l.Delim != '/' {
			t.Errorf("LIST %q: %+v among %v", name, l, names(all))
		}
	}
	if all["Post & mehr/Grüße"] != nil {
		t.Error("the old name of RENAME is still there")
	}
	e2eWant(t, "LIST %", slices.Contains(names(list("%", nil)), "Lists/go"), false)
	e2eWant(t, "LIST (SUBSCRIBED)", names(list("*", &imap.ListOptions{SelectSubscribed: true})), []string{"Lists/go"})
	recursive := list("%", &imap.ListOptions{SelectSubscribed: true, SelectRecursiveMatch: true})
	if l := recursive["Lists"]; l == nil || l.ChildInfo == nil || !l.ChildInfo.Subscribed {
		t.Errorf("LIST (SUBSCRIBED RECURSIVEMATCH): %+v", l)
	}
	e2eWant(t, "LIST (SPECIAL-USE)", names(list("*", &imap.ListOptions{SelectSpecialUse: true})), []string{"Old"})
	e2eAppend(t, c, "Lists/go", e2eSimple(1), &imap.AppendOptions{Flags: []imap.Flag{imap.FlagSeen}})
	e2eAppend(t, c, "Lists/go", e2eSimple(2), nil)
	full := list("*", &imap.ListOptions{ReturnSubscribed: true, ReturnChildren: true, ReturnSpecialUse: true,
		ReturnStatus: &imap.StatusOptions{NumMessages: true, NumUnseen: true}})
	gone := full["Lists/go"]
	if gone == nil || !slices.Contains(gone.Attrs, imap.MailboxAttrSubscribed) || !slices.Contains(gone.Attrs, imap.MailboxAttrHasNoChildren) {
		t.Fatalf("LIST RETURN: %+v", gone)
	}
	if gone.Status == nil || *gone.Status.NumMessages != 2 || *gone.Status.NumUnseen != 1 {
		t.Errorf("LIST RETURN (STATUS): %+v", gone.Status)
	}
	if l := full["Old"]; l == nil || !slices.Contains(l.Attrs, imap.MailboxAttrArchive) {
		t.Errorf("LIST RETURN (SPECIAL-USE): %+v", l)
	}
	if l := full["Neu"]; l != nil && !slices.Contains(l.Attrs, imap.MailboxAttrHasChildren) {
		t.Errorf("LIST RETURN (CHILDREN): %+v", l)
	}
	e2eDone(t, "UNSUBSCRIBE", c.Unsubscribe("Lists/go"))
	e2eWant(t, "LIST (SUBSCRIBED)", len(list("*", &imap.ListOptions{SelectSubscribed: true})), 0)
	e2eDone(t, "DELETE", c.Delete("Lists/go"))
	if list("*", nil)["Lists/go"] != nil {
		t.Error("a deleted mailbox is still listed")
	}
	e2eWant(t, "NAMESPACE", e2eGot[*imap.NamespaceData](t, "NAMESPACE")(c.Namespace().Wait()).Personal,
		[]imap.NamespaceDescriptor{{Prefix: "", Delim: '/'}})
}

func e2eSelect(t *testing.T, _ *testServer, c *imapclient.Client) {
	e2eDone(t, "CREATE", c.Create("sel", nil))
	first := e2eAppend(t, c, "sel", e2eSimple(1), &imap.AppendOptions{Flags: []imap.Flag{imap.FlagDeleted}})
	e2eAppend(t, c, "sel", e2eSimple(2), &imap.AppendOptions{Flags: []imap.Flag{"later"}})
	status := e2eGot[*imap.StatusData](t, "STATUS")(c.Status("sel", &imap.StatusOptions{NumMessages: true, UIDNext: true,
		UIDValidity: true, NumUnseen: true, NumDeleted: true, Size: true, AppendLimit: true, DeletedStorage: true, HighestModSeq: true}).Wait())
	e2eWant(t, "STATUS MESSAGES", *status.NumMessages, uint32(2))
	e2eWant(t, "STATUS UNSEEN", *status.NumUnseen, uint32(2))
	e2eWant(t, "STATUS DELETED", *status.NumDeleted, uint32(1))
	e2eWant(t, "STATUS UIDNEXT", status.UIDNext, first.UID+2)
	e2eWant(t, "STATUS UIDVALIDITY", status.UIDValidity, first.UIDValidity)
	e2eWant(t, "STATUS SIZE", *status.Size, int64(len(e2eSimple(1))+len(e2eSimple(2))))
	if status.HighestModSeq == 0 || status.AppendLimit == nil || *status.DeletedStorage == 0 {
		t.Errorf("STATUS: %+v", status)
	}
	data := e2eGot[*imap.SelectData](t, "SELECT")(c.Select("sel", &imap.SelectOptions{CondStore: true}).Wait())
	e2eWant(t, "SELECT EXISTS", data.NumMessages, uint32(2))
	e2eWant(t, "SELECT UIDNEXT", data.UIDNext, status.UIDNext)
	e2eWant(t, "SELECT UIDVALIDITY", data.UIDValidity, status.UIDValidity)
	e2eWant(t, "SELECT HIGHESTMODSEQ", data.HighestModSeq, status.HighestModSeq)
	if !slices.Contains(data.PermanentFlags, imap.FlagWildcard) || !slices.Contains(data.Flags, imap.Flag("later")) {
		t.Errorf("SELECT: flags %v, permanent %v", data.Flags, data.PermanentFlags)
	}
	e2eDone(t, "UNSELECT", c.Unselect())
	e2eDone(t, "NOOP", c.Noop()) // imapclient changes its state after it tells of the answer
	e2eWant(t, "state", c.State(), imap.ConnStateAuthenticated)
	e2eGot[*imap.SelectData](t, "EXAMINE")(c.Select("sel", &imap.SelectOptions{ReadOnly: true}).Wait())
	if err := c.Store(imap.SeqSetNum(1), &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{imap.FlagSeen}}, nil).Close(); err == nil {
		t.Error("STORE after EXAMINE is answered with OK")
	}
	e2eGot[*imap.SelectData](t, "SELECT")(c.Select("sel", nil).Wait())
	e2eDone(t, "CLOSE", c.UnselectAndExpunge())
	status = e2eGot[*imap.StatusData](t, "STATUS")(c.Status("sel", &imap.StatusOptions{NumMessages: true}).Wait())
	e2eWant(t, "MESSAGES after CLOSE", *status.NumMessages, uint32(1))
}

// e2eFill makes a mailbox with the messages 1 to n and selects it.
// e2eFlags gives the flags but \Recent, sorted, by message number.
// e2eIdle hears of what other sessions and other programs do.
func e2eIdle(t *testing.T, s *testServer, other *imapclient.Client) {
	exists, expunged, flags := make(chan uint32, 16), make(chan uint32, 16), make(chan string, 16)
	c, err := imapclient.DialInsecure(s.addr, &imapclient.Options{UnilateralDataHandler: &imapclient.UnilateralDataHandler{
		Mailbox: func(data *imapclient.UnilateralDataMailbox) {
			if data.NumMessages != nil {
				exists <- *data.NumMessages
			}
		},
		Expunge: func(n uint32) { expunged <- n },
		Fetch: func(msg *imapclient.FetchMessageData) {
			if buf, err := msg.Collect(); err == nil {
				flags <- e2eFlags([]*imapclient.FetchMessageBuffer{buf})[buf.SeqNum]
			}
		},
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	e2eDone(t, "LOGIN", c.Login("u", "p"))
	e2eFill(t, other, "idle", 1)
	e2eGot[*imap.SelectData](t, "SELECT")(c.Select("idle", nil).Wait())
	for len(exists) > 0 {
		<-exists
	}
	idle, err := c.Idle()
	if err != nil {
		t.Fatal(err)
	}
	e2eAppend(t, other, "idle", e2eSimple(2), nil)
	e2eWant(t, "EXISTS of APPEND", e2eNext(t, exists), uint32(2))
	tmp, cur := filepath.Join(s.maildir, ".idle", "tmp", "1.e2e.host"), filepath.Join(s.maildir, ".idle", "new", "1.e2e.host")
	if err := os.WriteFile(tmp, []byte(e2eSimple(3)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(tmp, cur); err != nil {
		t.Fatal(err)
	}
	e2eWant(t, "EXISTS of a delivery", e2eNext(t, exists), uint32(3))
	if err := other.Store(imap.SeqSetNum(1), &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{imap.FlagDeleted}}, nil).Close(); err != nil {
		t.Fatal(err)
	}
	e2eWant(t, "FETCH of STORE", e2eNext(t, flags), `\Deleted`)
	e2eGot[[]uint32](t, "EXPUNGE")(other.Expunge().Collect())
	e2eWant(t, "EXPUNGE", e2eNext(t, expunged), uint32(1))
	if err := idle.Close(); err != nil {
		t.Fatal(err)
	}
	e2eDone(t, "IDLE", idle)
	e2eDone(t, "NOOP", c.Noop())
	e2eDone(t, "LOGOUT", c.Logout())
}

func e2eNext[T any](t *testing.T, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(10 * time.Second):
		t.Fatal("nothing is told within 10 s")
		panic("unreachable")
	}
}

// e2eAccount is ID, METADATA, QUOTA, CAPABILITY and NOOP.
func e2eAccount(t *testing.T, _ *testServer, c *imapclient.Client) {
	id := e2eGot[*imap.IDData](t, "ID")(c.ID(&imap.IDData{Name: "e2e", Version: "1"}).Wait())
	e2eWant(t, "ID", strings.ToLower(id.Name), "roost")
	caps := e2eGot[imap.CapSet](t, "CAPABILITY")(c.Capability().Wait())
	for _, name := range []imap.Cap{imap.CapIMAP4rev1, imap.CapIMAP4rev2, imap.CapQResync, imap.CapMove, imap.CapESearch, imap.CapMetadata,
		imap.CapQuota, imap.CapSort, imap.CapUnauthenticate, imap.CapUTF8Accept, imap.CapBinary, imap.CapSpecialUse} {
		if !caps.Has(name) {
			t.Errorf("CAPABILITY has no %s: %v", name, caps)
		}
	}
	value, server := []byte("a note\r\nof two lines"), []byte("of the account")
	e2eDone(t, "CREATE", c.Create("meta", nil))
	e2eDone(t, "SETMETADATA", c.SetMetadata("meta", map[string]*[]byte{"/private/comment": &value}))
	e2eDone(t, "SETMETADATA", c.SetMetadata("", map[string]*[]byte{"/private/vendor/roost/x": &server}))
	got := e2eGot[*imapclient.GetMetadataData](t, "GETMETADATA")(c.GetMetadata("meta", []string{"/private/comment"}, nil).Wait())
	if v := got.Entries["/private/comment"]; v == nil || !bytes.Equal(*v, value) {
		t.Errorf("GETMETADATA: %v", got.Entries)
	}
	got = e2eGot[*imapclient.GetMetadataData](t, "GETMETADATA")(c.GetMetadata("", []string{"/private/vendor"},
		&imapclient.GetMetadataOptions{Depth: imapclient.GetMetadataDepthInfinity}).Wait())
	if v := got.Entries["/private/vendor/roost/x"]; v == nil || !bytes.Equal(*v, server) {
		t.Errorf("GETMETADATA (DEPTH infinity): %v", got.Entries)
	}
	e2eDone(t, "SETMETADATA NIL", c.SetMetadata("meta", map[string]*[]byte{"/private/comment": nil}))
	got = e2eGot[*imapclient.GetMetadataData](t, "GETMETADATA")(c.GetMetadata("meta", []string{"/private/comment"}, nil).Wait())
	if v := got.Entries["/private/comment"]; v != nil {
		t.Errorf("GETMETADATA after NIL: %q", *v)
	}
	roots := e2eGot[[]imapclient.QuotaData](t, "GETQUOTAROOT")(c.GetQuotaRoot("INBOX").Wait())
	if len(roots) != 1 {
		t.Fatalf("GETQUOTAROOT: %+v", roots)
	}
}

// e2eUTF8 uses names and text beyond ASCII after ENABLE (RFC 9755).
func e2eUTF8(t *testing.T, s *testServer, c *imapclient.Client) {
	enabled := e2eGot[*imapclient.EnableData](t, "ENABLE")(c.Enable(imap.CapUTF8Accept, imap.CapIMAP4rev2).Wait())
	if !enabled.Caps.Has(imap.CapUTF8Accept) || !enabled.Caps.Has(imap.CapIMAP4rev2) {
		t.Fatalf("ENABLE: %v", enabled.Caps)
	}
	e2eDone(t, "CREATE", c.Create("日本語 mail", nil))
	e2eAppend(t, c, "日本語 mail", e2eMultipart, nil)
	data := e2eGot[*imap.SelectData](t, "SELECT")(c.Select("日本語 mail", nil).Wait())
	e2eWant(t, "EXISTS", data.NumMessages, uint32(1))
	if data.List == nil || data.List.Mailbox != "日本語 mail" {
		t.Errorf("LIST of SELECT: %+v", data.List)
	}
	found := e2eGot[*imap.SearchData](t, "SEARCH")(c.Search(&imap.SearchCriteria{
		Header: []imap.SearchCriteriaHeaderField{{Key: "Subject", Value: "Grüße"}}}, nil).Wait())
	e2eWant(t, "SEARCH", found.AllSeqNums(), []uint32{1})
	// Modified UTF-7 on the disk, as the other servers have it.
	if _, err := os.Stat(filepath.Join(s.maildir, ".&ZeVnLIqe- mail", "cur")); err != nil {
		t.Error(err)
	}
}

// e2eErrors has refusals with the codes of RFC 9051 §7.1; the session goes on.
func e2eErrors(t *testing.T, _ *testServer, c *imapclient.Client) {
	code := func(err error) imap.ResponseCode {
		t.Helper()
		e, ok := err.(*imap.Error)
		if !ok || e.Type != imap.StatusResponseTypeNo {
			t.Errorf("not a NO: %v", err)
			return ""
		}
		return e.Code
	}
	_, err := c.Select("nowhere", nil).Wait()
	e2eWant(t, "SELECT", code(err), imap.ResponseCodeNonExistent)
	e2eWant(t, "DELETE", code(c.Delete("nowhere").Wait()), imap.ResponseCodeNonExistent)
	e2eWant(t, "CREATE", code(c.Create("INBOX", nil).Wait()), imap.ResponseCodeAlreadyExists)
	e2eFill(t, c, "errors", 1)
	_, err = c.Copy(imap.SeqSetNum(1), "nowhere").Wait()
	e2eWant(t, "COPY", code(err), imap.ResponseCodeTryCreate)
	msgs, err := c.Fetch(imap.UIDSetNum(99), &imap.FetchOptions{Flags: true}).Collect()
	e2eWant(t, "UID FETCH of nothing", []any{len(msgs), err}, []any{0, nil})
	e2eDone(t, "NOOP", c.Noop())
}

// e2eLogin is every way in, STARTTLS and TLS, and the way back to the start.
func e2eLogin(t *testing.T, s *testServer) {
	c, err := imapclient.DialInsecure(s.addr, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Login("u", "wrong").Wait(); err == nil {
		t.Error("a wrong password is let in")
	}
	if err := c.Authenticate(sasl.NewPlainClient("", "u", "p")); err != nil {
		t.Fatalf("AUTHENTICATE PLAIN: %v", err)
	}
	if err := c.Unauthenticate().Wait(); err != nil {
		t.Fatalf("UNAUTHENTICATE: %v", err)
	}
	e2eDone(t, "NOOP", c.Noop())
	e2eWant(t, "state", c.State(), imap.ConnStateNotAuthenticated)
	if err := c.Authenticate(sasl.NewLoginClient("u", "p")); err != nil {
		t.Fatalf("AUTHENTICATE LOGIN: %v", err)
	}
	e2eGot[*imap.SelectData](t, "SELECT")(c.Select("INBOX", nil).Wait())
	e2eDone(t, "LOGOUT", c.Logout())

	opt := &imapclient.Options{TLSConfig: &tls.Config{InsecureSkipVerify: true}}
	up, err := imapclient.DialStartTLS(s.addr, opt)
	if err != nil {
		t.Fatalf("STARTTLS: %v", err)
	}
	defer up.Close()
	if up.Caps().Has(imap.CapStartTLS) {
		t.Error("STARTTLS is offered under TLS")
	}
	e2eDone(t, "LOGIN after STARTTLS", up.Login("u", "p"))
	e2eDone(t, "LOGOUT", up.Logout())

	config, err := os.ReadFile(filepath.Join(s.home, "config.toml"))
	if err != nil {
		t.Fatal(err)
	}
	imaps := regexp.MustCompile(`(?m)^imaps = \["(.*)"\]`).FindSubmatch(config)
	if imaps == nil {
		t.Fatal("no imaps in config.toml")
	}
	over, err := imapclient.DialTLS(string(imaps[1]), opt)
	if err != nil {
		t.Fatal(err)
	}
	defer over.Close()
	e2eDone(t, "LOGIN over TLS", over.Login("u", "p"))
	e2eDone(t, "LOGOUT", over.Logout())
}
