package mailbox

import (
	"crypto/sha256"
	"encoding/base32"
	"strings"

	"roost/index"
	"roost/message"
)

// briefVersion marks a cache record of a message that was never parsed: only
// the header fields below, as stored, behind this octet. A full record
// (cacheVersion) takes its place as soon as there is one.
const briefVersion = 'b'

// sortFields are the raw values of the fields that SORT and THREAD look at, nil
// if missing. Of repeated fields the last counts, of address fields the first.
type sortFields struct {
	date, subject, from, to, cc []byte
	messageID, inReplyTo, refs  []byte
}

// sortFieldNames are their names in small letters.
var sortFieldNames = [...]string{"date", "subject", "from", "to", "cc", "message-id", "in-reply-to", "references"}

func (f *sortFields) field(name []byte) *[]byte {
	if len(name) > len("in-reply-to") || len(name) < len("to") {
		return nil
	}
	for i, want := range sortFieldNames {
		if sameField(name, want) {
			return [...]*[]byte{&f.date, &f.subject, &f.from, &f.to, &f.cc, &f.messageID, &f.inReplyTo, &f.refs}[i]
		}
	}
	return nil
}

func readSortFields(h message.Header) (f sortFields) {
	for name, value := range h.Fields() {
		p := f.field(name)
		if p == nil {
			continue
		}
		if (p == &f.from || p == &f.to || p == &f.cc) && len(message.ParseAddresses(*p, 1)) > 0 {
			continue
		}
		*p = value
	}
	return f
}

// ids gives the message's own id, "" if it has none, and its references
// (RFC 5256 §3, REFERENCES).
func (f *sortFields) ids() (id string, refs []string) {
	if own := message.MessageIDs(f.messageID); len(own) > 0 {
		id = own[0]
	}
	if refs = message.MessageIDs(f.refs); len(refs) == 0 {
		if refs = message.MessageIDs(f.inReplyTo); len(refs) > 1 {
			refs = refs[:1]
		}
	}
	return id, refs
}

// briefHeader gives the header block, or the part of it that sortFields holds,
// without parsing the message if it was not parsed before.
func (c *Content) briefHeader() (message.Header, error) {
	if c.row < 0 {
		return nil, ErrExpunged
	}
	if c.done {
		return c.Header()
	}
	if e, ok := c.entry(); ok {
		if len(e.Payload) > 1 && e.Payload[0] == briefVersion {
			c.rec.buf = e.Payload
			return e.Payload[1:], nil
		}
		if c.rec.decode(e.Payload) {
			c.rec.size, c.rec.mtime, c.done = e.Size, e.Mtime, true
			return c.Header()
		}
	}
	if err := c.open(); err != nil {
		return nil, err
	}
	h, err := message.ReadHeader(c.file, c.info.Size)
	if err != nil {
		return nil, diskErr(err)
	}
	c.putBrief(h)
	return h, nil
}

// putBrief writes a brief record.
func (c *Content) putBrief(h message.Header) {
	if c.ix.Gone(c.row) {
		return
	}
	b := []byte{briefVersion}
	var f sortFields
	for name, value := range h.Fields() {
		if f.field(name) == nil {
			continue
		}
		b = append(b, name...)
		b = append(b, ':')
		b = append(b, value...)
		if n := len(b); b[n-1] != '\n' {
			b = append(b, '\n')
		}
	}
	if len(b) == 1 {
		b = append(b, '\n') // an empty header block
	}
	if len(b) <= headerCached {
		_ = c.ix.Cache().Put(c.row, index.CacheEntry{
			Size: c.info.Size, Mtime: c.info.Mtime, Parser: message.Version, Payload: b,
		})
	}
}

// ThreadID is THREADID (RFC 8474 §5.2): the same for all messages of a
// conversation, in every mailbox and for good, because it depends on nothing
// but the message: on the oldest message id that it names, the first of its
// references or its own. "" is NIL: the message names none.
func (c *Content) ThreadID() (string, error) {
	h, err := c.briefHeader()
	if err != nil {
		return "", err
	}
	fields := readSortFields(h)
	id, refs := fields.ids()
	if len(refs) > 0 {
		id = refs[0]
	}
	return threadIDOf(id), nil
}

// threadIDOf makes an ObjectID of a message id.
func threadIDOf(id string) string {
	if id == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(id))
	return "T" + strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:15]))
}
