package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
)

func e2eFetch(t *testing.T, _ *testServer, c *imapclient.Client) {
	e2eDone(t, "CREATE", c.Create("fetch", nil))
	when := time.Date(2023, 5, 6, 7, 8, 9, 0, time.FixedZone("", -5400))
	added := e2eAppend(t, c, "fetch", e2eMultipart, &imap.AppendOptions{Time: when, Flags: []imap.Flag{imap.FlagFlagged, "$label1"}})
	e2eGot[*imap.SelectData](t, "SELECT")(c.Select("fetch", nil).Wait())
	msgs := e2eGot[[]*imapclient.FetchMessageBuffer](t, "FETCH")(c.Fetch(imap.SeqSetNum(1), &imap.FetchOptions{
		Envelope: true, Flags: true, InternalDate: true, RFC822Size: true, UID: true, ModSeq: true,
		BodyStructure: &imap.FetchItemBodyStructure{Extended: true}}).Collect())
	if len(msgs) != 1 {
		t.Fatalf("FETCH 1: %d messages", len(msgs))
	}
	m := msgs[0]
	e2eWant(t, "UID", m.UID, added.UID)
	e2eWant(t, "RFC822.SIZE", m.RFC822Size, int64(len(e2eMultipart)))
	if !m.InternalDate.Equal(when) || m.InternalDate.Format("-0700") != "-0130" {
		t.Errorf("INTERNALDATE: %v, want %v", m.InternalDate, when)
	}
	if !slices.Contains(m.Flags, imap.FlagFlagged) || !slices.Contains(m.Flags, imap.Flag("$label1")) || m.ModSeq == 0 {
		t.Errorf("flags %v, mod-sequence %d", m.Flags, m.ModSeq)
	}
	e := m.Envelope
	e2eWant(t, "envelope subject", e.Subject, "Grüße")
	e2eWant(t, "envelope from", e.From, []imap.Address{{Name: "Jörg", Mailbox: "joerg", Host: "example.org"}})
	e2eWant(t, "envelope sender", e.Sender, e.From)
	e2eWant(t, "envelope to", e.To, []imap.Address{{Name: "Anna", Mailbox: "anna", Host: "example.org"}, {Mailbox: "bob", Host: "example.org"}})
	e2eWant(t, "envelope message-id", e.MessageID, "two@example.org")
	e2eWant(t, "envelope in-reply-to", e.InReplyTo, []string{"one@example.org"})
	e2eWant(t, "envelope date", e.Date.Unix(), time.Date(2024, 1, 2, 11, 0, 0, 0, time.UTC).Unix())

	multi, ok := m.BodyStructure.(*imap.BodyStructureMultiPart)
	if !ok || len(multi.Children) != 2 {
		t.Fatalf("BODYSTRUCTURE: %+v", m.BodyStructure)
	}
	e2eWant(t, "type", multi.MediaType(), "multipart/mixed")
	e2eWant(t, "boundary", multi.Extended.Params["boundary"], "b1")
	text := multi.Children[0].(*imap.BodyStructureSinglePart)
	e2eWant(t, "part 1", []any{text.MediaType(), strings.ToLower(text.Encoding), text.Size, text.Params["charset"]}, []any{"text/plain", "base64", uint32(8), "utf-8"})
	inner := multi.Children[1].(*imap.BodyStructureSinglePart)
	e2eWant(t, "part 2", []any{inner.MediaType(), inner.Filename(), inner.Disposition().Value}, []any{"message/rfc822", "inner.eml", "attachment"})
	e2eWant(t, "part 2 envelope", inner.MessageRFC822.Envelope.Subject, "inner")
	e2eWant(t, "part 2 structure", inner.MessageRFC822.BodyStructure.MediaType(), "text/plain")

	plain := e2eGot[[]*imapclient.FetchMessageBuffer](t, "UID FETCH")(c.Fetch(imap.UIDSetNum(added.UID), &imap.FetchOptions{
		BodyStructure: &imap.FetchItemBodyStructure{}}).Collect())
	if len(plain) != 1 || plain[0].UID != added.UID || plain[0].BodyStructure.(*imap.BodyStructureMultiPart).Extended != nil {
		t.Errorf("UID FETCH BODY: %+v", plain)
	}
}

func e2eFetchParts(t *testing.T, _ *testServer, c *imapclient.Client) {
	e2eDone(t, "CREATE", c.Create("parts", nil))
	e2eAppend(t, c, "parts", e2eMultipart, nil)
	e2eGot[*imap.SelectData](t, "SELECT")(c.Select("parts", nil).Wait())
	header, body, _ := strings.Cut(e2eMultipart, "\r\n\r\n")
	header += "\r\n\r\n"
	sections := []struct {
		section imap.FetchItemBodySection
		want    string
	}{
		{imap.FetchItemBodySection{}, e2eMultipart},
		{imap.FetchItemBodySection{Specifier: imap.PartSpecifierHeader}, header},
		{imap.FetchItemBodySection{Specifier: imap.PartSpecifierText}, body},
		{imap.FetchItemBodySection{Specifier: imap.PartSpecifierHeader, HeaderFields: []string{"Cc", "Message-ID"}},
			"Cc: c@example.org\r\nMessage-ID: <two@example.org>\r\n\r\n"},
		{imap.FetchItemBodySection{Specifier: imap.PartSpecifierHeader, HeaderFieldsNot: []string{"From", "To", "Subject", "Date",
			"Message-ID", "In-Reply-To", "References", "Content-Type"}}, "Cc: c@example.org\r\nMIME-Version: 1.0\r\n\r\n"},
		{imap.FetchItemBodySection{Part: []int{1}}, "aGVsbG8="},
		{imap.FetchItemBodySection{Part: []int{1}, Specifier: imap.PartSpecifierMIME},
			"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n"},
		{imap.FetchItemBodySection{Part: []int{2}, Specifier: imap.PartSpecifierHeader}, "From: inner@example.org\r\nSubject: inner\r\n\r\n"},
		{imap.FetchItemBodySection{Part: []int{2}, Specifier: imap.PartSpecifierText}, "inside"},
		{imap.FetchItemBodySection{Part: []int{2, 1}, Partial: &imap.SectionPartial{Offset: 2, Size: 3}}, "sid"},
		{imap.FetchItemBodySection{Partial: &imap.SectionPartial{Offset: int64(len(e2eMultipart)) - 4, Size: 100}}, "--\r\n"},
	}
	opt := &imap.FetchOptions{
		BinarySection:     []*imap.FetchItemBinarySection{{Part: []int{1}, Peek: true}},
		BinarySectionSize: []*imap.FetchItemBinarySectionSize{{Part: []int{1}}},
		Flags:             true,
	}
	for i := range sections {
		sections[i].section.Peek = true
		opt.BodySection = append(opt.BodySection, &sections[i].section)
	}
	msgs := e2eGot[[]*imapclient.FetchMessageBuffer](t, "FETCH")(c.Fetch(imap.SeqSetNum(1), opt).Collect())
	if len(msgs) != 1 || len(msgs[0].BodySection) != len(sections) {
		t.Fatalf("FETCH: %+v", msgs)
	}
	for i, got := range msgs[0].BodySection {
		// In the order asked; the client finds them by name, which says less.
		if string(got.Bytes) != sections[i].want {
			t.Errorf("section %+v: got %q, want %q", sections[i].section, got.Bytes, sections[i].want)
		}
	}
	e2eWant(t, "BINARY.PEEK[1]", string(msgs[0].FindBinarySection(&imap.FetchItemBinarySection{Part: []int{1}})), "hello")
	size, found := msgs[0].FindBinarySectionSize([]int{1})
	e2eWant(t, "BINARY.SIZE[1]", []any{size, found}, []any{uint32(5), true})
	if slices.Contains(msgs[0].Flags, imap.FlagSeen) {
		t.Error("PEEK sets \\Seen")
	}
	// Without a range: the client does not read the `<1>` of BINARY[1]<1>.
	msgs = e2eGot[[]*imapclient.FetchMessageBuffer](t, "FETCH")(c.Fetch(imap.SeqSetNum(1),
		&imap.FetchOptions{BinarySection: []*imap.FetchItemBinarySection{{Part: []int{1}}}}).Collect())
	e2eWant(t, "BINARY[1]", string(msgs[0].BinarySection[0].Bytes), "hello")
	if !slices.Contains(msgs[0].Flags, imap.FlagSeen) {
		t.Errorf("FETCH BINARY[1] does not tell \\Seen: %v", msgs[0].Flags)
	}
}

func e2eFill(t *testing.T, c *imapclient.Client, name string, n int) *imap.SelectData {
	t.Helper()
	e2eDone(t, "CREATE", c.Create(name, nil))
	for i := 1; i <= n; i++ {
		e2eAppend(t, c, name, e2eSimple(i), nil)
	}
	return e2eGot[*imap.SelectData](t, "SELECT")(c.Select(name, &imap.SelectOptions{CondStore: true}).Wait())
}

func e2eFlags(msgs []*imapclient.FetchMessageBuffer) map[uint32]string {
	m := map[uint32]string{}
	for _, msg := range msgs {
		var flags []string
		for _, f := range msg.Flags {
			if f != `\Recent` {
				flags = append(flags, string(f))
			}
		}
		slices.Sort(flags)
		m[msg.SeqNum] = strings.Join(flags, " ")
	}
	return m
}

func e2eStore(t *testing.T, s *testServer, c *imapclient.Client) {
	e2eFill(t, c, "store", 3)
	store := func(set imap.NumSet, op imap.StoreFlagsOp, silent bool, flags ...imap.Flag) map[uint32]string {
		t.Helper()
		cmd := c.Store(set, &imap.StoreFlags{Op: op, Silent: silent, Flags: flags}, nil)
		return e2eFlags(e2eGot[[]*imapclient.FetchMessageBuffer](t, "STORE")(cmd.Collect()))
	}
	var all imap.SeqSet
	all.AddRange(1, 0)
	e2eWant(t, "+FLAGS", store(all, imap.StoreFlagsAdd, false, imap.FlagSeen, "work"),
		map[uint32]string{1: `\Seen work`, 2: `\Seen work`, 3: `\Seen work`})
	e2eWant(t, "-FLAGS", store(imap.UIDSetNum(2), imap.StoreFlagsDel, false, "work"), map[uint32]string{2: `\Seen`})
	e2eWant(t, "FLAGS", store(imap.SeqSetNum(3), imap.StoreFlagsSet, false, imap.FlagAnswered, imap.FlagDraft),
		map[uint32]string{3: `\Answered \Draft`})
	store(imap.SeqSetNum(1), imap.StoreFlagsAdd, true, imap.FlagFlagged)
	want := map[uint32]string{1: `\Flagged \Seen work`, 2: `\Seen`, 3: `\Answered \Draft`}
	e2eWant(t, "FETCH FLAGS", e2eFlags(e2eGot[[]*imapclient.FetchMessageBuffer](t, "FETCH")(
		c.Fetch(all, &imap.FetchOptions{Flags: true}).Collect())), want)
	// The letters of the standard flags are those of Maildir.
	names, err := filepath.Glob(filepath.Join(s.maildir, ".store", "cur", "*:2,*"))
	if err != nil {
		t.Fatal(err)
	}
	var letters []string
	for _, name := range names {
		_, info, _ := strings.Cut(filepath.Base(name), ":2,")
		letters = append(letters, strings.TrimRight(info, "abc"))
	}
	slices.Sort(letters)
	e2eWant(t, "letters of the names", letters, []string{"DR", "FS", "S"})
}

func e2eModSeq(t *testing.T, _ *testServer, c *imapclient.Client) {
	before := e2eFill(t, c, "modseq", 3).HighestModSeq
	changed := e2eGot[[]*imapclient.FetchMessageBuffer](t, "STORE")(c.Store(imap.SeqSetNum(2),
		&imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{imap.FlagFlagged}}, &imap.StoreOptions{UnchangedSince: before}).Collect())
	if len(changed) != 1 || changed[0].ModSeq <= before {
		t.Fatalf("STORE (UNCHANGEDSINCE): %+v", changed)
	}
	// The second time the condition fails: nothing changes, and nothing is told.
	late := c.Store(imap.SeqSetNum(2), &imap.StoreFlags{Op: imap.StoreFlagsSet, Flags: []imap.Flag{imap.FlagDeleted}},
		&imap.StoreOptions{UnchangedSince: before})
	if msgs, _ := late.Collect(); strings.Contains(e2eFlags(msgs)[2], "Deleted") {
		t.Errorf("STORE over a change of another: %v", e2eFlags(msgs))
	}
	var all imap.SeqSet
	all.AddRange(1, 0)
	since := e2eGot[[]*imapclient.FetchMessageBuffer](t, "FETCH")(c.Fetch(all, &imap.FetchOptions{Flags: true, ModSeq: true, ChangedSince: before}).Collect())
	if len(since) != 1 || since[0].SeqNum != 2 || since[0].ModSeq != changed[0].ModSeq || e2eFlags(since)[2] != `\Flagged` {
		t.Errorf("FETCH (CHANGEDSINCE): %+v", since)
	}
	found := e2eGot[*imap.SearchData](t, "SEARCH")(c.Search(&imap.SearchCriteria{ModSeq: &imap.SearchCriteriaModSeq{ModSeq: before + 1}}, nil).Wait())
	e2eWant(t, "SEARCH MODSEQ", []any{found.AllSeqNums(), found.ModSeq}, []any{[]uint32{2}, changed[0].ModSeq})
}

func e2eCopyMoveExpunge(t *testing.T, _ *testServer, c *imapclient.Client) {
	e2eDone(t, "CREATE", c.Create("target", nil))
	e2eFill(t, c, "source", 6)
	var set imap.SeqSet
	set.AddRange(1, 2)
	copied := e2eGot[*imap.CopyData](t, "COPY")(c.Copy(set, "target").Wait())
	e2eWant(t, "COPYUID", []string{copied.SourceUIDs.String(), copied.DestUIDs.String()}, []string{"1:2", "1:2"})
	moved := e2eGot[*imapclient.MoveData](t, "MOVE")(c.Move(imap.UIDSetNum(3), "target").Wait())
	e2eWant(t, "COPYUID of MOVE", []any{fmt.Sprint(moved.SourceUIDs), fmt.Sprint(moved.DestUIDs), moved.UIDValidity}, []any{"3", "3", copied.UIDValidity})
	e2eDone(t, "NOOP", c.Noop())
	e2eWant(t, "messages after MOVE", c.Mailbox().NumMessages, uint32(5))
	deleted := &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{imap.FlagDeleted}}
	if err := c.Store(imap.UIDSetNum(1, 4, 6), deleted, nil).Close(); err != nil {
		t.Fatal(err)
	}
	e2eWant(t, "UID EXPUNGE", e2eGot[[]uint32](t, "UID EXPUNGE")(c.UIDExpunge(imap.UIDSetNum(4, 5)).Collect()), []uint32{3})
	gone := e2eGot[[]uint32](t, "EXPUNGE")(c.Expunge().Collect())
	e2eWant(t, "EXPUNGE", slices.Equal(gone, []uint32{1, 3}) || slices.Equal(gone, []uint32{4, 1}), true)
	left := e2eGot[*imap.SearchData](t, "UID SEARCH")(c.UIDSearch(&imap.SearchCriteria{}, nil).Wait())
	e2eWant(t, "UIDs left", left.AllUIDs(), []imap.UID{2, 5})
	e2eGot[*imap.SelectData](t, "SELECT")(c.Select("target", nil).Wait())
	var all imap.SeqSet
	all.AddRange(1, 0)
	msgs := e2eGot[[]*imapclient.FetchMessageBuffer](t, "FETCH")(c.Fetch(all, &imap.FetchOptions{
		BodySection: []*imap.FetchItemBodySection{{Peek: true}}}).Collect())
	for i, m := range msgs {
		if string(m.BodySection[0].Bytes) != e2eSimple(i+1) {
			t.Errorf("message %d of the target: %q", i+1, m.BodySection[0].Bytes)
		}
	}
	e2eWant(t, "messages of the target", len(msgs), 3)
}

func e2eSearch(t *testing.T, _ *testServer, c *imapclient.Client) {
	e2eFill(t, c, "search", 5)
	e2eAppend(t, c, "search", e2eMultipart, &imap.AppendOptions{Flags: []imap.Flag{imap.FlagSeen, "mine"},
		Time: time.Date(2020, 2, 3, 12, 0, 0, 0, time.UTC)})
	e2eDone(t, "NOOP", c.Noop())
	day := func(d int) time.Time { return time.Date(2024, 1, d, 0, 0, 0, 0, time.UTC) }
	var two imap.SeqSet
	two.AddRange(2, 3)
	for _, test := range []struct {
		name string
		imap.SearchCriteria
		want []uint32
	}{
		{"ALL", imap.SearchCriteria{}, []uint32{1, 2, 3, 4, 5, 6}},
		{"numbers", imap.SearchCriteria{SeqNum: []imap.SeqSet{two}}, []uint32{2, 3}},
		{"UID", imap.SearchCriteria{UID: []imap.UIDSet{imap.UIDSetNum(1, 6)}}, []uint32{1, 6}},
		{"SEEN", imap.SearchCriteria{Flag: []imap.Flag{imap.FlagSeen}}, []uint32{6}},
		{"KEYWORD", imap.SearchCriteria{Flag: []imap.Flag{"mine"}}, []uint32{6}},
		{"UNKEYWORD UNSEEN", imap.SearchCriteria{NotFlag: []imap.Flag{"mine", imap.FlagSeen}}, []uint32{1, 2, 3, 4, 5}},
		{"SENTSINCE SENTBEFORE", imap.SearchCriteria{SentSince: day(3), SentBefore: day(5)}, []uint32{3, 4}},
		{"SENTON", imap.SearchCriteria{SentSince: day(2), SentBefore: day(3)}, []uint32{2, 6}},
		{"BEFORE", imap.SearchCriteria{Before: time.Date(2020, 2, 4, 0, 0, 0, 0, time.UTC)}, []uint32{6}},
		{"SINCE", imap.SearchCriteria{Since: time.Date(2020, 2, 4, 0, 0, 0, 0, time.UTC)}, []uint32{1, 2, 3, 4, 5}},
		{"SUBJECT of another case", imap.SearchCriteria{Header: []imap.SearchCriteriaHeaderField{{Key: "Subject", Value: "grÜße"}}}, []uint32{6}},
		{"FROM", imap.SearchCriteria{Header: []imap.SearchCriteriaHeaderField{{Key: "From", Value: "sender4"}}}, []uint32{4}},
		{"HEADER", imap.SearchCriteria{Header: []imap.SearchCriteriaHeaderField{{Key: "Message-ID", Value: "m5@"}}}, []uint32{5}},
		{"HEADER there", imap.SearchCriteria{Header: []imap.SearchCriteriaHeaderField{{Key: "Cc"}}}, []uint32{6}},
		{"BODY decoded", imap.SearchCriteria{Body: []string{"hello"}}, []uint32{6}},
		{"TEXT", imap.SearchCriteria{Text: []string{"number 3"}}, []uint32{3}},
		{"LARGER", imap.SearchCriteria{Larger: 400}, []uint32{6}},
		{"SMALLER", imap.SearchCriteria{Smaller: 400}, []uint32{1, 2, 3, 4, 5}},
		{"NOT", imap.SearchCriteria{Not: []imap.SearchCriteria{{SeqNum: []imap.SeqSet{two}}, {Flag: []imap.Flag{imap.FlagSeen}}}}, []uint32{1, 4, 5}},
		{"OR", imap.SearchCriteria{Or: [][2]imap.SearchCriteria{{{Text: []string{"number 1"}}, {Flag: []imap.Flag{imap.FlagSeen}}}}}, []uint32{1, 6}},
	} {
		found, err := c.Search(&test.SearchCriteria, nil).Wait()
		if err != nil {
			t.Errorf("SEARCH %s: %v", test.name, err)
			continue
		}
		e2eWant(t, "SEARCH "+test.name, found.AllSeqNums(), test.want)
	}
	found := e2eGot[*imap.SearchData](t, "ESEARCH")(c.UIDSearch(&imap.SearchCriteria{NotFlag: []imap.Flag{imap.FlagSeen}},
		&imap.SearchOptions{ReturnMin: true, ReturnMax: true, ReturnAll: true, ReturnCount: true}).Wait())
	e2eWant(t, "ESEARCH", []any{found.Min, found.Max, found.Count, found.AllUIDs()},
		[]any{uint32(1), uint32(5), uint32(5), []imap.UID{1, 2, 3, 4, 5}})
}

func e2eSortThread(t *testing.T, _ *testServer, c *imapclient.Client) {
	e2eFill(t, c, "sort", 3)
	e2eAppend(t, c, "sort", strings.Replace(e2eMultipart, "<one@example.org>", "<m2@example.org>", 2), nil)
	e2eDone(t, "NOOP", c.Noop())
	sort := func(uid bool, keys ...imapclient.SortCriterion) []uint32 {
		t.Helper()
		opt := &imapclient.SortOptions{SearchCriteria: &imap.SearchCriteria{}, SortCriteria: keys}
		if uid {
			return e2eGot[[]uint32](t, "UID SORT")(c.UIDSort(opt).Wait())
		}
		return e2eGot[[]uint32](t, "SORT")(c.Sort(opt).Wait())
	}
	e2eWant(t, "SORT (REVERSE DATE)", sort(false, imapclient.SortCriterion{Key: imapclient.SortKeyDate, Reverse: true}), []uint32{3, 4, 2, 1})
	e2eWant(t, "SORT (SIZE REVERSE ARRIVAL)", sort(false, imapclient.SortCriterion{Key: imapclient.SortKeySize},
		imapclient.SortCriterion{Key: imapclient.SortKeyArrival, Reverse: true})[3:], []uint32{4})
	for _, key := range []imapclient.SortKey{imapclient.SortKeyFrom, imapclient.SortKeySubject} {
		e2eWant(t, "UID SORT "+string(key), sort(true, imapclient.SortCriterion{Key: key}), []uint32{4, 1, 2, 3}) // joerg, Grüße
	}
	e2eWant(t, "UID SORT TO", sort(true, imapclient.SortCriterion{Key: imapclient.SortKeyTo}), []uint32{4, 1, 2, 3})
	e2eWant(t, "UID SORT CC", sort(true, imapclient.SortCriterion{Key: imapclient.SortKeyCc}), []uint32{1, 2, 3, 4})

	opt := &imapclient.ThreadOptions{Algorithm: imap.ThreadReferences, SearchCriteria: &imap.SearchCriteria{}}
	threads := e2eGot[[]imapclient.ThreadData](t, "THREAD")(c.Thread(opt).Wait())
	var chains [][]uint32
	for _, th := range threads {
		chains = append(chains, th.Chain)
	}
	e2eWant(t, "THREAD REFERENCES", chains, [][]uint32{{1}, {2, 4}, {3}})
	e2eWant(t, "UID THREAD", e2eGot[[]imapclient.ThreadData](t, "UID THREAD")(c.UIDThread(opt).Wait()), threads)
	subject := e2eGot[[]imapclient.ThreadData](t, "THREAD")(c.Thread(&imapclient.ThreadOptions{Algorithm: imap.ThreadOrderedSubject,
		SearchCriteria: &imap.SearchCriteria{Text: []string{"body"}}}).Wait())
	e2eWant(t, "THREAD ORDEREDSUBJECT", len(subject), 3)
}
