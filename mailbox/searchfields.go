package mailbox

import (
	"bytes"

	"roost/message"
)

// This file is the part of SEARCH that looks at header fields and at the date
// in the header (RFC 9051 §6.4.4): in what columns they are compared, and how
// those are read from a header.

// A fieldName is what a column of header fields is about.
type fieldName struct {
	name      string // in small letters
	addresses bool   // compared as SearchAddress does
}

// fieldKey is a key about one header field.
type fieldKey struct {
	*searchNode
	column int      // in fieldPlan.columns
	texts  [][]byte // any of them; nil: the field is there
}

// fieldPlan is the keys of a search that need header fields, made ready. It is
// shared by the workers.
type fieldPlan struct {
	compare message.Comparator
	columns []fieldName
	keys    []fieldKey
	sent    []*searchNode
	brief   bool // a brief cache record has all of them
}

func (p *fieldPlan) compile(compare message.Comparator, leaves []*searchNode) {
	p.compare, p.brief = compare, true
	for _, n := range leaves {
		switch n.Kind {
		case SearchSent:
			p.sent = append(p.sent, n)
		case SearchHeader, SearchAddress:
			p.add(n)
		}
	}
}

func (p *fieldPlan) add(n *searchNode) {
	name := fieldName{lower(n.Field), n.Kind == SearchAddress}
	k := fieldKey{searchNode: n}
	for k.column < len(p.columns) && p.columns[k.column] != name {
		k.column++
	}
	if k.column == len(p.columns) {
		p.columns = append(p.columns, name)
		var f sortFields
		p.brief = p.brief && f.field([]byte(name.name)) != nil
	}
	if n.Text != "" {
		t := message.FieldText{Compare: p.compare}
		k.texts = t.Keys(n.Text, name.addresses)
	}
	p.keys = append(p.keys, k)
}

// headerOf gives the header of a message, at least the fields of the plan.
func (p *fieldPlan) headerOf(c searchContent) (message.Header, error) {
	if p.brief {
		return c.briefHeader()
	}
	h, err := c.Header()
	return h, err
}

func (p *fieldPlan) empty() bool { return len(p.keys)+len(p.sent) == 0 }

// matches says whether entry, the column of k of one message, is one of those
// that k is looking for.
func (k *fieldKey) matches(entry []byte) bool {
	if len(k.texts) == 0 {
		return len(entry) > 0
	}
	for _, text := range k.texts {
		if bytes.Contains(entry, text) {
			return true
		}
	}
	return false
}

// What is kept of the Date field in place of a day.
const (
	unknownSentDay = -1 << 31   // not looked at
	noSentDay      = -1<<31 + 1 // none that can be read: SENT keys do not match
)

// sentOn says whether a message of that day is one that n is looking for.
func (n *searchNode) sentOn(day int32) bool {
	return day != noSentDay && n.From <= Day(day) && Day(day) < n.To
}

// sentDate gives the instant that the raw value of a Date field names and the
// day that it shows; unknownDate and noSentDay if it cannot be read.
func sentDate(date []byte) (instant int64, day int32) {
	if t, ok := message.ParseDate(date); ok {
		return t.Unix(), int32(DayOf(t))
	}
	return unknownDate, noSentDay
}

// headerEntries is what the columns of a plan say of one message. Its memory is
// used again.
type headerEntries struct {
	sent   int32
	date   int64
	fields [][]byte // by column
	text   message.FieldText
}

// read makes the entries of one message from its header.
func (e *headerEntries) read(p *fieldPlan, h message.Header) {
	e.text.Compare = p.compare
	if e.fields == nil {
		e.fields = make([][]byte, len(p.columns))
	}
	for i := range e.fields {
		e.fields[i] = e.fields[i][:0]
	}
	var date []byte
	for name, value := range h.Fields() {
		if len(p.sent) > 0 && sameField(name, "date") {
			date = value // the last one counts
		}
		for i := range p.columns {
			c := &p.columns[i]
			switch {
			case !sameField(name, c.name):
			case c.addresses:
				e.fields[i] = e.text.AppendAddresses(e.fields[i], value)
			default:
				e.fields[i] = e.text.Append(e.fields[i], value)
			}
		}
	}
	if len(p.sent) > 0 {
		e.date, e.sent = sentDate(date)
	}
}

// sameField compares names of header fields: ASCII letters match in either case.
func sameField(name []byte, field string) bool {
	if len(name) != len(field) {
		return false
	}
	for i, c := range name {
		d := field[i]
		if c != d && (c|0x20 != d|0x20 || c|0x20 < 'a' || c|0x20 > 'z') {
			return false
		}
	}
	return true
}

// remembered finds out the keys about header fields for the messages in open
// that memory knows, and takes these out of open.
func (w *searchWorker) remembered(open *searchBits) {
	m := w.memory
	if m == nil || w.plan.fields.empty() {
		return
	}
	m.sc.mu.Lock()
	defer m.sc.mu.Unlock()
	for i := range open.each {
		row := w.blk.rows[i]
		if !m.knowsLocked(row) {
			continue
		}
		for _, n := range w.plan.fields.sent {
			w.bits[n.leaf].put(i, n.sentOn(m.sc.sent[row]))
		}
		for k := range w.plan.fields.keys {
			key := &w.plan.fields.keys[k]
			w.bits[key.leaf].put(i, key.matches(m.columns[key.column].get(row)))
		}
		open.clear(i)
	}
}

// header finds out the keys about header fields of message i, going through
// its header once.
func (w *searchWorker) header(c searchContent, i int) error {
	p := &w.plan.fields
	h, err := p.headerOf(c)
	if err != nil {
		return err
	}
	w.entries.read(p, h)
	for _, n := range p.sent {
		w.bits[n.leaf].put(i, n.sentOn(w.entries.sent))
	}
	for k := range p.keys {
		key := &p.keys[k]
		w.bits[key.leaf].put(i, key.matches(w.entries.fields[key.column]))
	}
	if w.memory != nil {
		w.learned.add(w.blk.rows[i], &w.entries)
	}
	return nil
}
