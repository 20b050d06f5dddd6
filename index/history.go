package index

import (
	"time"

	"github.com/emersion/go-imap/v2"
)

// An EventKind is what happened to a message.
type EventKind uint8

// The kinds of events.
const (
	EventAdded        EventKind = iota // it got its UID
	EventIntended                      // an addition of several was begun; Source says from what
	EventFlags                         // flags were decided, by a client
	EventFlagsOutside                  // flags were taken from a name that another program gave
	EventRenaming                      // roost is about to give it the name Name
	EventRenamed                       // that name is durable
	EventNamedOutside                  // another program gave it the name Name, or the base Base
	EventFacts                         // size or dates were learned
	EventExpunged                      // a client expunged it; the file is to be removed
	EventExpungedGone                  // its file was gone
	EventRemoved                       // its file was removed for good
)

// An Event is one entry of the history of a message.
type Event struct {
	Time     time.Time
	Kind     EventKind
	ModSeq   ModSeq // 0: none was taken
	Name     Name
	Base     string
	Flags    Flags
	Keywords []string
	Date     Date
	Size     int64  // UnknownSize: not said
	Source   string // EventIntended: what it is made from
}

// History gives what the journal knows of one message, oldest first. It reaches
// back to Inspection.Created: a compaction keeps only the outcome. Reading is as
// for Inspect.
func History(o Options, uid imap.UID) (*Index, []Event, Inspection, error) {
	h := history{uid: uid}
	ix, in, err := inspect(o, h.batch)
	return ix, h.events, in, err
}

type history struct {
	uid    imap.UID
	events []Event
	intent map[string]Event // by base: of additions that were begun
}

// batch adds what a batch says of the message. The batch was replayed, so its
// keywords are defined.
func (h *history) batch(ix *Index, payload []byte, at time.Time) {
	d := decoder{b: payload}
	m := ModSeq(d.num() & (1<<63 - 1))
	first := len(h.events)
	outside := false
	for rest := d.b; len(rest) > 0; {
		it, more, ok := nextItem(rest)
		if !ok {
			break
		}
		rest = more
		body := decoder{b: it.body}
		if it.kind == itemIntents {
			h.intents(ix, &body, at)
			continue
		}
		h.item(ix, it.kind, &body, m, at)
		outside = outside || it.kind == itemAgreed && len(h.events) > first && h.events[len(h.events)-1].Kind == EventNamedOutside
	}
	for i := first; outside && i < len(h.events); i++ {
		if h.events[i].Kind == EventFlags {
			h.events[i].Kind = EventFlagsOutside
		}
	}
}

// item adds what an item says of the message.
func (h *history) item(ix *Index, kind byte, d *decoder, m ModSeq, at time.Time) {
	switch kind {
	case itemAdds, itemFlags, itemRenames, itemAgreed, itemMeta, itemExpunges, itemUnlinked, itemRenamesSynced:
	default:
		return
	}
	for range d.count() {
		if d.bad {
			return
		}
		uid := d.uidDelta()
		e := Event{Time: at, Size: UnknownSize}
		switch kind {
		case itemAdds:
			a := d.add()
			e.Kind, e.ModSeq, e.Name, e.Base = EventAdded, m, a.Name, a.Base
			e.Flags, e.Keywords, e.Date, e.Size = a.Flags, ix.KeywordNames(ix.knownSet(a.Keywords)), a.Date, a.Size
			if begun, ok := h.intent[a.Base]; ok && uid == h.uid && !d.bad {
				h.events = append(h.events, begun)
			}
		case itemFlags:
			e.Kind, e.ModSeq = EventFlags, m
			e.Flags = Flags(d.octet()) & AllFlags
			e.Keywords = ix.KeywordNames(ix.knownSet(KeywordSet(d.num() & 0xffffff)))
		case itemRenames:
			d.name()
			e.Kind, e.Name = EventRenaming, d.name()
		case itemAgreed:
			e.Kind, e.Name, e.Base = EventNamedOutside, d.name(), d.str(maxBase)
		case itemMeta:
			e.Kind, e.Size, e.Date = EventFacts, d.int(), d.date()
			d.num()
		case itemExpunges:
			e.Kind, e.ModSeq = EventExpungedGone, m
			if d.octet() != 0 {
				u := d.toUnlink(uid)
				e.Kind, e.Base, e.Name = EventExpunged, u.Base, u.Name
			}
		case itemUnlinked:
			e.Kind = EventRemoved
		case itemRenamesSynced:
			e.Kind, e.Name = EventRenamed, d.name()
		}
		if uid == h.uid && !d.bad {
			h.events = append(h.events, e)
		}
	}
}

// intents remembers additions that were begun: they have no UID yet.
func (h *history) intents(ix *Index, d *decoder, at time.Time) {
	for range d.count() {
		if d.bad {
			return
		}
		in := d.intent()
		for i := range in.Entries {
			if h.intent == nil {
				h.intent = map[string]Event{}
			}
			h.intent[in.Entries[i].Add.Base] = Event{
				Time: at, Kind: EventIntended, Size: UnknownSize, Base: in.Entries[i].Add.Base, Source: in.Entries[i].Source,
			}
		}
	}
}
