package session

import (
	"roost/mailbox"
	"roost/message"
	"roost/wire"
)

// This file reads the arguments of FETCH (RFC 9051 §6.4.5) into a value; no
// session state is needed for that.

// fetchKind is a kind of data item.
type fetchKind uint8

const (
	fetchUID fetchKind = iota
	fetchFlags
	fetchInternalDate
	fetchSize
	fetchModSeq
	fetchSaveDate
	fetchEnvelope
	fetchBody
	fetchBodyStructure
	fetchSection    // BODY[...], RFC822, RFC822.HEADER, RFC822.TEXT
	fetchBinary     // BINARY[...]
	fetchBinarySize // BINARY.SIZE[...]
	fetchPreview
	fetchEmailID
	fetchThreadID
)

// fetchItem is one data item. Items that need nothing but a word of the grammar
// have only kind and label.
type fetchItem struct {
	kind    fetchKind
	label   string            // the item's name in the answer
	section section           // of the last three kinds
	fields  *message.FieldSet // of HEADER.FIELDS of the message itself
	seen    bool              // fetching it sets \Seen
	lazy    bool              // of PREVIEW: only if that is at hand
	implied bool              // the client did not ask for it: UID in UID FETCH
}

// fetchCmd is FETCH or UID FETCH.
type fetchCmd struct {
	uid   bool
	set   msgSet
	items []fetchItem // each item once, in the order asked for

	changedSince    mailbox.ModSeq // RFC 7162 §3.1.4.1
	hasChangedSince bool
	vanished        bool // RFC 7162 §3.2.6

	partial *partialRange // RFC 9394 §3.3; nil: none
}

// maxFetchItems bounds the items of one command.
const maxFetchItems = 1000

// plainItems are the items that consist of their name.
var plainItems = map[string]fetchKind{
	"UID": fetchUID, "FLAGS": fetchFlags, "INTERNALDATE": fetchInternalDate,
	"RFC822.SIZE": fetchSize, "MODSEQ": fetchModSeq, "SAVEDATE": fetchSaveDate,
	"ENVELOPE": fetchEnvelope, "BODYSTRUCTURE": fetchBodyStructure,
	"EMAILID": fetchEmailID, "THREADID": fetchThreadID, // RFC 8474 §5.3
}

// fetchMacros may stand alone in place of the items.
var fetchMacros = map[string][]string{
	"ALL":  {"FLAGS", "INTERNALDATE", "RFC822.SIZE", "ENVELOPE"},
	"FAST": {"FLAGS", "INTERNALDATE", "RFC822.SIZE"},
	"FULL": {"FLAGS", "INTERNALDATE", "RFC822.SIZE", "ENVELOPE", "BODY"},
}

// scanFetch reads the arguments of FETCH, uid those of UID FETCH.
//
//	fetch          = "FETCH" SP sequence-set SP ("ALL" / "FULL" / "FAST" /
//	                 fetch-att / "(" fetch-att *(SP fetch-att) ")") [fetch-modifiers]
//	fetch-modifiers = SP "(" fetch-modifier *(SP fetch-modifier) ")"
func scanFetch(sc *wire.Scanner, uid bool) *fetchCmd {
	c := &fetchCmd{uid: uid}
	sc.SP()
	c.set = scanMsgSet(sc, uid)
	sc.SP()
	if uid {
		c.add(sc, fetchItem{kind: fetchUID, label: "UID", implied: true})
	}
	if sc.Peek() == '(' {
		if sc.List(func() { c.scanItem(sc) }) == 0 {
			sc.Fail("empty list of data items")
		}
	} else if macro, ok := fetchMacros[sc.PeekName()]; ok {
		sc.Name()
		for _, name := range macro {
			if name == "BODY" {
				c.add(sc, fetchItem{kind: fetchBody, label: name})
			} else {
				c.add(sc, fetchItem{kind: plainItems[name], label: name})
			}
		}
	} else {
		c.scanItem(sc)
	}
	if sc.Peek() == ' ' {
		sc.SP()
		c.scanModifiers(sc)
	}
	return c
}

// add appends item unless it was asked for before: nobody needs it twice, and
// without that one line could ask for a message thousands of times.
func (c *fetchCmd) add(sc *wire.Scanner, item fetchItem) {
	for i := range c.items {
		if have := &c.items[i]; have.label == item.label && have.section.count == item.section.count {
			have.seen = have.seen || item.seen
			have.lazy = have.lazy && item.lazy
			have.implied = have.implied && item.implied
			return
		}
	}
	if len(c.items) == maxFetchItems {
		sc.Fail("too many data items")
		return
	}
	c.items = append(c.items, item)
}

// scanItem reads one data item.
func (c *fetchCmd) scanItem(sc *wire.Scanner) {
	name := sc.Name()
	item := fetchItem{label: name}
	if kind, ok := plainItems[name]; ok {
		item.kind = kind
		c.add(sc, item)
		return
	}
	switch name {
	case "BODY", "BODY.PEEK":
		if name == "BODY" && sc.Peek() != '[' {
			item.kind = fetchBody
			break
		}
		item.kind, item.seen = fetchSection, name == "BODY"
		item.section = scanSection(sc)
		if sec := &item.section; len(sec.Path) == 0 && (sec.Spec == message.HeaderFields || sec.Spec == message.HeaderFieldsNot) {
			item.fields = message.NewFieldSet(sec.Fields, sec.Spec == message.HeaderFieldsNot)
		}
		item.label = item.section.label("BODY")
	case "BINARY", "BINARY.PEEK":
		item.kind, item.seen = fetchBinary, name == "BINARY"
		item.section = scanBinarySection(sc)
		item.section.scanPartial(sc)
		item.label = item.section.label("BINARY")
	case "BINARY.SIZE":
		item.kind = fetchBinarySize
		item.section = scanBinarySection(sc)
		item.label = item.section.label("BINARY.SIZE")
	case "PREVIEW":
		item.kind, item.lazy = fetchPreview, scanLazy(sc)
	case "RFC822": // RFC 3501 §6.4.5, the same octets under another name
		item.kind, item.seen = fetchSection, true
	case "RFC822.HEADER":
		item.kind, item.section.Spec = fetchSection, message.HeaderSpec
	case "RFC822.TEXT":
		item.kind, item.section.Spec, item.seen = fetchSection, message.Text, true
	default:
		sc.Fail("unknown data item")
		return
	}
	c.add(sc, item)
}

// scanModifiers reads the modifiers of FETCH.
//
//	fetch-modifier = "CHANGEDSINCE" SP mod-sequence-value / "VANISHED" / "PARTIAL" SP partial-range
//
// CHANGEDSINCE 0 is not in the grammar. COMPAT: iOS 16.5 sends it.
func (c *fetchCmd) scanModifiers(sc *wire.Scanner) {
	n := sc.List(func() {
		switch name := sc.Name(); {
		case name == "CHANGEDSINCE" && !c.hasChangedSince:
			sc.SP()
			c.changedSince = mailbox.ModSeq(sc.Number64())
			c.hasChangedSince = true
		case name == "VANISHED" && !c.vanished:
			c.vanished = true
		case name == "PARTIAL" && c.partial == nil:
			sc.SP()
			p := scanPartial(sc)
			c.partial = &p
		default:
			sc.Fail("unknown or repeated FETCH modifier")
		}
	})
	switch {
	case n == 0:
		sc.Fail("empty list of FETCH modifiers")
	case c.partial != nil && !c.uid:
		sc.Fail("PARTIAL needs UID FETCH") // RFC 9394 §3.3
	case c.vanished && !c.uid:
		sc.Fail("VANISHED needs UID FETCH")
	case c.vanished && !c.hasChangedSince:
		sc.Fail("VANISHED needs CHANGEDSINCE")
	}
	if c.hasChangedSince {
		// RFC 7162 §3.1.4.1: MODSEQ is sent as if it had been asked for.
		c.add(sc, fetchItem{kind: fetchModSeq, label: "MODSEQ"})
	}
}
