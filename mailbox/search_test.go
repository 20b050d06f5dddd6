package mailbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"

	"roost/index"
	"roost/message"
)

var testSearchNow = time.Date(2024, 1, 20, 0, 0, 0, 0, time.UTC)

// tableMessage is a message of a tableSource.
type tableMessage struct {
	Message
	date, saved time.Time
	raw         string // CRLF line ends
	gone        bool   // expunged, known from the columns
	vanished    bool   // expunged, found out when its file is opened
}

// tableSource is a mailbox in memory.
type tableSource struct {
	msgs     []tableMessage
	keywords map[KeywordSet][]string
	opened   atomic.Int64 // contents that read the file
	headers  atomic.Int64 // headers read
	sorting  sortColumns
}

func (s *tableSource) Len() int { return len(s.msgs) }

func (s *tableSource) fill(blk *searchBlock) {
	for i := range blk.n {
		m := &s.msgs[int(blk.first)-1+i]
		blk.flags[i], blk.keywords[i] = m.Flags, m.Keywords
		blk.uids[i], blk.modseqs[i] = m.UID, m.ModSeq
		blk.recent.put(i, m.Recent)
		blk.rows[i] = index.Row(m.Seq - 1)
		blk.live.put(i, !m.gone)
	}
}

// facts knows every other message, so that both ways are taken.
func (s *tableSource) facts(row index.Row) searchFacts {
	if row%2 == 0 {
		return searchFacts{size: index.UnknownSize}
	}
	m := &s.msgs[row]
	return searchFacts{int64(len(m.raw)), index.DateOf(m.date), m.saved}
}

func (s *tableSource) seqFrom(uid imap.UID) SeqNum {
	i := slices.IndexFunc(s.msgs, func(m tableMessage) bool { return m.UID >= uid })
	if i < 0 {
		i = len(s.msgs)
	}
	return SeqNum(i + 1)
}

func (s *tableSource) open(n SeqNum, _ *index.CacheCursor) searchContent {
	return &tableContent{m: &s.msgs[n-1], src: s}
}

func (s *tableSource) hasKeyword(set KeywordSet, name string) bool {
	return slices.ContainsFunc(s.keywords[set], func(kw string) bool { return strings.EqualFold(kw, name) })
}

type tableContent struct {
	m   *tableMessage
	src *tableSource
}

func (c *tableContent) Close() {}

func (c *tableContent) Size() (int64, error) { return int64(len(c.m.raw)), c.err() }

func (c *tableContent) err() error {
	if c.m.vanished {
		return ErrExpunged
	}
	return nil
}

func (c *tableContent) InternalDate() (time.Time, error) { return c.m.date, c.err() }
func (c *tableContent) SaveDate() (time.Time, error)     { return c.m.saved, c.err() }
func (c *tableContent) EmailID() (string, error)         { return "", c.err() }
func (c *tableContent) ThreadID() (string, error)        { return "", c.err() }

func (c *tableContent) Header() ([]byte, error) {
	c.src.headers.Add(1)
	head, _, _ := strings.Cut(c.m.raw, "\r\n\r\n")
	return []byte(head + "\r\n\r\n"), c.err()
}

func (c *tableContent) briefHeader() (message.Header, error) {
	h, err := c.Header()
	return h, err
}

func (c *tableContent) Reader() (io.ReaderAt, int64, error) {
	c.src.opened.Add(1)
	return strings.NewReader(c.m.raw), int64(len(c.m.raw)), c.err()
}

func (c *tableContent) borrowPart(*message.BinaryParser) (*message.Part, error) {
	return parseTestMessage(c.m.raw), c.err()
}

func search(t *testing.T, src *tableSource, c *Criteria) []SeqNum {
	t.Helper()
	got, err := searchTable(t.Context(), src, c)
	if err != nil {
		t.Fatalf("search: %v", err)
	}
	return got
}

func searchTable(ctx context.Context, src *tableSource, c *Criteria) ([]SeqNum, error) {
	return searchRemembering(ctx, src, c, false)
}

func searchRemembering(ctx context.Context, src *tableSource, c *Criteria, remember bool) ([]SeqNum, error) {
	var last imap.UID
	if n := len(src.msgs); n > 0 {
		last = src.msgs[n-1].UID
	}
	plan, err := newSearchPlan(c, SeqNum(len(src.msgs)), last)
	if err != nil {
		return nil, err
	}
	var memory *fieldMemory
	if remember {
		memory = src.sorting.remember(nil, &plan.fields)
	}
	seqs, err := runSearch(ctx, plan, src, memory, SearchOptions{Now: testSearchNow})
	return slices.Collect(seqs.All()), err
}

// newTable has n messages with all combinations of flags in turn.
func newTable(n int) *tableSource {
	src := &tableSource{keywords: map[KeywordSet][]string{1: {"$Junk"}, 2: {"$Junk", "work"}}}
	zones := []*time.Location{time.UTC, time.FixedZone("", 14*3600), time.FixedZone("", -11*3600)}
	for i := range n {
		date := time.Date(2024, 1, 1, i%24, 30, 0, 0, zones[i%3]).AddDate(0, 0, i/24)
		src.msgs = append(src.msgs, tableMessage{
			Message: Message{
				Seq: SeqNum(i + 1), UID: imap.UID(3*i + 7), Flags: Flags(i) & AllFlags,
				Keywords: KeywordSet(i % 3), Recent: i%7 == 0, ModSeq: ModSeq(i*i%1009 + 1),
			},
			date: date, saved: date.AddDate(0, 0, 2),
			raw: fmt.Sprintf("Date: %s\r\nFrom: \"Ann %d\" <ann@example.org>\r\nSubject: report %d\r\n\r\nbody %d\r\n%s",
				date.Format("2 Jan 2006 15:04:05 -0700"), i, i%10, i, strings.Repeat("x\r\n", i%5)),
		})
	}
	return src
}

// matches is the plain meaning of a tree for one message: the oracle.
func (s *tableSource) matches(c *Criteria, m *tableMessage) bool {
	in := func(v int64) bool { return c.From <= v && v < c.To }
	head, body, _ := strings.Cut(m.raw, "\r\n\r\n")
	holds := func(text string) bool { return strings.Contains(strings.ToLower(text), strings.ToLower(c.Text)) }
	switch c.Kind {
	case SearchAll:
		return true
	case SearchAnd:
		return !slices.ContainsFunc(c.Of, func(k *Criteria) bool { return !s.matches(k, m) })
	case SearchOr:
		return slices.ContainsFunc(c.Of, func(k *Criteria) bool { return s.matches(k, m) })
	case SearchNot:
		return !s.matches(c.Of[0], m)
	case SearchSeqs:
		return slices.ContainsFunc(clampSeqs(c.Seqs, SeqNum(len(s.msgs))), func(r SeqRange) bool { return r.First <= m.Seq && m.Seq <= r.Last })
	case SearchUIDs:
		return slices.ContainsFunc(clampUIDs(c.UIDs, 0), func(r imap.UIDRange) bool { return r.Start <= m.UID && m.UID <= r.Stop })
	case SearchFlags:
		return m.Flags&c.Flags == c.Flags
	case SearchRecent:
		return m.Recent
	case SearchKeyword:
		return s.hasKeyword(m.Keywords, c.Text)
	case SearchModSeq:
		return m.ModSeq >= c.ModSeq
	case SearchSize:
		return in(int64(len(m.raw)))
	case SearchDate:
		return in(DayOf(m.date))
	case SearchAge:
		return in(testSearchNow.Unix() - m.date.Unix())
	case SearchSaveDay:
		return in(DayOf(m.saved))
	case SearchSent:
		return in(DayOf(m.date))
	case SearchHeader, SearchAddress:
		for line := range strings.SplitSeq(head, "\r\n") {
			if name, value, _ := strings.Cut(line, ": "); strings.EqualFold(name, c.Field) && holds(value) {
				return true
			}
		}
		return false
	case SearchBody:
		return holds(body)
	case SearchText:
		return holds(m.raw)
	}
	return false
}

func randomTree(rnd *rand.Rand, depth int) *Criteria {
	if depth > 0 && rnd.IntN(2) == 0 {
		switch rnd.IntN(3) {
		case 0:
			return Not(randomTree(rnd, depth-1))
		case 1:
			return &Criteria{Kind: SearchOr, Of: []*Criteria{randomTree(rnd, depth-1), randomTree(rnd, depth-1)}}
		}
		return &Criteria{Kind: SearchAnd, Of: []*Criteria{randomTree(rnd, depth-1), randomTree(rnd, depth-1), randomTree(rnd, depth-1)}}
	}
	day := DayOf(time.Date(2024, 1, 1+rnd.IntN(30), 0, 0, 0, 0, time.UTC))
	digit := fmt.Sprint(rnd.IntN(100))
	switch rnd.IntN(15) {
	case 0:
		return &Criteria{Kind: SearchAll}
	case 1:
		return &Criteria{Kind: SearchNone}
	case 2:
		return &Criteria{Kind: SearchSeqs, Seqs: imap.SeqSet{{Start: rnd.Uint32N(900), Stop: rnd.Uint32N(900)}, {Start: 5, Stop: 5}}}
	case 3:
		return &Criteria{Kind: SearchUIDs, UIDs: imap.UIDSet{{Start: imap.UID(1 + rnd.Uint32N(900)), Stop: 900}, {Start: 10, Stop: 10}}}
	case 4:
		return HasFlags(Flags(rnd.IntN(32)))
	case 5:
		return &Criteria{Kind: SearchRecent}
	case 6:
		return &Criteria{Kind: SearchKeyword, Text: []string{"$JUNK", "work", "none"}[rnd.IntN(3)]}
	case 7:
		return &Criteria{Kind: SearchModSeq, ModSeq: ModSeq(rnd.IntN(1009))}
	case 8:
		return Larger(int64(90 + rnd.IntN(20)))
	case 9:
		return []*Criteria{Before(SearchDate, day), On(SearchDate, day), Since(SearchDate, day)}[rnd.IntN(3)]
	case 10:
		return Since([]SearchKind{SearchSaveDay, SearchSent}[rnd.IntN(2)], day)
	case 11:
		return Younger(rnd.Uint32N(20 * 86400))
	case 12:
		kind := []SearchKind{SearchHeader, SearchAddress}[rnd.IntN(2)]
		return &Criteria{Kind: kind, Field: []string{"SUBJECT", "from", "X-None"}[rnd.IntN(3)], Text: []string{"", digit}[rnd.IntN(2)]}
	case 13:
		return &Criteria{Kind: SearchBody, Text: "BODY " + digit}
	}
	return &Criteria{Kind: SearchText, Text: digit}
}

// TestSearchAgainstOracle compares random trees with a message by message
// evaluation of their plain meaning.
func TestSearchAgainstOracle(t *testing.T) {
	src := newTable(700)
	for i := range src.msgs {
		src.msgs[i].gone = i%31 == 3
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 400 {
		c := randomTree(rnd, 4)
		var want []SeqNum
		for i := range src.msgs {
			if m := &src.msgs[i]; !m.gone && src.matches(c, m) {
				want = append(want, m.Seq)
			}
		}
		remember := rnd.IntN(3) > 0
		got, err := searchRemembering(t.Context(), src, c, remember)
		if err != nil || !slices.Equal(got, want) {
			t.Fatalf("%s (remembering: %v):\ngot  %v, %v\nwant %v", dumpCriteria(c), remember, got, err, want)
		}
	}
}

func dumpCriteria(c *Criteria) string {
	s := fmt.Sprintf("{%d %v %v %v %q %q %d %d %d", c.Kind, c.Seqs, c.UIDs, c.Flags, c.Field, c.Text, c.From, c.To, c.ModSeq)
	for _, kid := range c.Of {
		s += " " + dumpCriteria(kid)
	}
	return s + "}"
}

// RFC 2180 §4.3: what was expunged meanwhile is left out, also when only the
// missing file tells.
func TestSearchOmitsExpunged(t *testing.T) {
	src := newTable(10)
	src.msgs[2].gone = true
	src.msgs[4].vanished = true
	got := search(t, src, &Criteria{Kind: SearchText, Text: "report"})
	if want := []SeqNum{1, 2, 4, 6, 7, 8, 9, 10}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// The cheap keys decide first: no file is opened for a message that they exclude.
func TestSearchOpensOnlyUndecided(t *testing.T) {
	src := newTable(640)
	got := search(t, src, &Criteria{Kind: SearchAnd, Of: []*Criteria{
		{Kind: SearchBody, Text: "body"},
		{Kind: SearchSeqs, Seqs: imap.SeqSet{{Start: 600, Stop: 602}}},
	}})
	if want := []SeqNum{600, 601, 602}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if n := src.opened.Load(); n != 3 {
		t.Errorf("%d files opened, want 3", n)
	}
}

func TestSearchBounds(t *testing.T) {
	src := newTable(1)
	deep := &Criteria{Kind: SearchAll}
	for range 2*MaxSearchDepth + 1 {
		deep = Not(deep)
	}
	wide := &Criteria{Kind: SearchOr}
	for range MaxSearchTerms {
		wide.Of = append(wide.Of, &Criteria{Kind: SearchAll})
	}
	for _, c := range []*Criteria{deep, wide} {
		if _, err := searchTable(t.Context(), src, c); !errors.Is(err, ErrLimit) {
			t.Errorf("error %v, want ErrLimit", err)
		}
	}
}

func TestSearchEndsWithContext(t *testing.T) {
	src := newTable(2000)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []*Criteria{{Kind: SearchText, Text: "x"}, {Kind: SearchAll}} {
		if _, err := searchTable(ctx, src, c); !errors.Is(err, context.Canceled) {
			t.Errorf("kind %d: error %v, want context.Canceled", c.Kind, err)
		}
	}
}

func TestSearchProgress(t *testing.T) {
	src := newTable(300)
	for _, c := range []*Criteria{{Kind: SearchText, Text: "x"}, {Kind: SearchAll}} {
		plan, err := newSearchPlan(c, 300, 2000)
		if err != nil {
			t.Fatal(err)
		}
		last := 0
		_, err = runSearch(t.Context(), plan, src, nil, SearchOptions{Progress: func(done, total int) {
			if done <= last || total != 300 {
				t.Errorf("progress %d of %d after %d", done, total, last)
			}
			last = done
		}})
		if err != nil || last != 300 {
			t.Errorf("kind %d: progress ended at %d, error %v", c.Kind, last, err)
		}
	}
}

// BEFORE, ON and SINCE look at the date as printed, in the message's own zone
// (RFC 9051 §6.4.4), SINCE and ON hold the day itself, BEFORE does not.
func TestSearchDates(t *testing.T) {
	at := func(s string) tableMessage {
		d, err := time.Parse("2006-01-02 15:04 -0700", s)
		if err != nil {
			t.Fatal(err)
		}
		return tableMessage{date: d}
	}
	numbered := func(msgs ...tableMessage) []tableMessage {
		for i := range msgs {
			msgs[i].Seq = SeqNum(i + 1)
		}
		return msgs
	}
	src := &tableSource{msgs: numbered(
		at("2024-02-28 23:59 -1100"), // 29 February in UTC
		at("2024-02-29 00:00 +1400"), // 28 February in UTC
		at("2024-02-29 23:59 +0000"),
		at("2024-03-01 00:00 +1400"),
		at("1969-12-31 12:00 +0000"),
		at("0001-01-01 00:00 +0000"),
		at("9999-12-31 23:59 -0000"),
	)}
	day := DayOf(time.Date(2024, 2, 29, 0, 0, 0, 0, time.UTC))
	for _, tt := range []struct {
		c    *Criteria
		want []SeqNum
	}{
		{Before(SearchDate, day), []SeqNum{1, 5, 6}},
		{On(SearchDate, day), []SeqNum{2, 3}},
		{Since(SearchDate, day), []SeqNum{2, 3, 4, 7}},
		{On(SearchDate, -1), []SeqNum{5}},
		{Before(SearchDate, -1), []SeqNum{6}},
	} {
		if got := search(t, src, tt.c); !slices.Equal(got, tt.want) {
			t.Errorf("%s: got %v, want %v", dumpCriteria(tt.c), got, tt.want)
		}
	}
}

// RFC 5032 §2: OLDER and YOUNGER both hold the second they name.
func TestSearchWithin(t *testing.T) {
	now := testSearchNow
	src := &tableSource{msgs: []tableMessage{
		{Message: Message{Seq: 1}, date: now.Add(-101 * time.Second)},
		{Message: Message{Seq: 2}, date: now.Add(-100 * time.Second)},
		{Message: Message{Seq: 3}, date: now.Add(-99 * time.Second)},
	}}
	if got := search(t, src, Older(100)); !slices.Equal(got, []SeqNum{1, 2}) {
		t.Errorf("OLDER 100: %v", got)
	}
	if got := search(t, src, Younger(100)); !slices.Equal(got, []SeqNum{2, 3}) {
		t.Errorf("YOUNGER 100: %v", got)
	}
}

func TestSearchSetsWithStar(t *testing.T) {
	src := newTable(5)
	for _, tt := range []struct {
		c    *Criteria
		want []SeqNum
	}{
		{&Criteria{Kind: SearchSeqs, Seqs: imap.SeqSet{{Start: 0, Stop: 0}}}, []SeqNum{5}},
		{&Criteria{Kind: SearchSeqs, Seqs: imap.SeqSet{{Start: 4, Stop: 0}}}, []SeqNum{4, 5}},
		{&Criteria{Kind: SearchSeqs, Seqs: imap.SeqSet{{Start: 9, Stop: 0}}}, []SeqNum{5}},
		{&Criteria{Kind: SearchSeqs, Seqs: imap.SeqSet{{Start: 9, Stop: 4}}}, []SeqNum{4, 5}},
		{&Criteria{Kind: SearchSeqs, Seqs: imap.SeqSet{{Start: 6, Stop: 9}}}, nil},
		{&Criteria{Kind: SearchUIDs, UIDs: imap.UIDSet{{Start: 100, Stop: 0}}}, []SeqNum{5}},
		{&Criteria{Kind: SearchUIDs, UIDs: imap.UIDSet{{Start: 0, Stop: 0}}}, []SeqNum{5}},
		{&Criteria{Kind: SearchUIDs, UIDs: imap.UIDSet{{Start: 11, Stop: 8}}}, []SeqNum{2}},
	} {
		if got := search(t, src, tt.c); !slices.Equal(got, tt.want) {
			t.Errorf("%s: got %v, want %v", dumpCriteria(tt.c), got, tt.want)
		}
	}
	empty := newTable(0)
	if got := search(t, empty, &Criteria{Kind: SearchSeqs, Seqs: imap.SeqSet{{Start: 1, Stop: 0}}}); got != nil {
		t.Errorf("empty mailbox: %v", got)
	}
}

func BenchmarkSearchUnseen(b *testing.B) {
	benchmarkSearch(b, Not(HasFlags(Seen)))
}

func BenchmarkSearchSince(b *testing.B) {
	benchmarkSearch(b, Since(SearchDate, DayOf(time.Date(2024, 6, 1, 0, 0, 0, 0, time.UTC))))
}

func BenchmarkSearchText(b *testing.B) {
	src := newTable(10_000)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := searchTable(b.Context(), src, &Criteria{Kind: SearchText, Text: "not there"}); err != nil {
			b.Fatal(err)
		}
	}
}

func benchmarkSearch(b *testing.B, c *Criteria) {
	src := newTable(100_000)
	b.ReportAllocs()
	for b.Loop() {
		plan, err := newSearchPlan(c, 100_000, 1)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := runSearch(b.Context(), plan, src, nil, SearchOptions{Now: testSearchNow}); err != nil {
			b.Fatal(err)
		}
	}
}

func parseTestMessage(raw string) *message.Part {
	part, err := message.ParseBytes([]byte(raw))
	if err != nil {
		panic(err) // reading memory does not fail
	}
	return part
}
