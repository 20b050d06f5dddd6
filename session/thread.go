package session

import (
	"context"

	"roost/mailbox"
	"roost/wire"
)

// DEVIATION: above MESSAGELIMIT (RFC 9738) THREAD is refused with NO, and SORT
// is not limited.

// This file answers THREAD and UID THREAD (RFC 5256).

// threadCmd is THREAD or UID THREAD.
type threadCmd struct {
	searchCmd
	algorithm mailbox.ThreadAlgorithm
}

func parseThread(sc *wire.Scanner) (runner, error) {
	c := scanThread(sc, false)
	return c, sc.End()
}

func parseUIDThread(sc *wire.Scanner) (runner, error) {
	c := scanThread(sc, true)
	return c, sc.End()
}

var threadAlgorithms = map[string]mailbox.ThreadAlgorithm{
	"ORDEREDSUBJECT": mailbox.ThreadOrderedSubject,
	"REFERENCES":     mailbox.ThreadReferences,
	"REFS":           mailbox.ThreadRefs,
}

// scanThread reads
//
//	thread = ["UID" SP] "THREAD" SP thread-alg SP search-criteria
func scanThread(sc *wire.Scanner, uid bool) *threadCmd {
	c := &threadCmd{searchCmd: searchCmd{uid: uid}}
	sc.SP()
	alg, ok := threadAlgorithms[sc.Word()]
	if !ok {
		sc.Fail("unknown threading algorithm")
	}
	c.algorithm = alg
	sc.SP()
	c.scanCriteria(sc)
	return c
}

func (c *threadCmd) run(ctx context.Context, s *Session) error {
	if limit := s.messageLimit(); limit != 0 && s.view.Len() > limit {
		return tooMany(limit, 0, "too many messages to thread") // RFC 9738 §3.3
	}
	res, err := c.search(ctx, s)
	if err != nil {
		return err
	}
	tokens, err := s.view.Thread(ctx, c.algorithm, res.Seqs, s.searchOptions("still threading"))
	if err != nil {
		return err
	}
	c.write(s, tokens)
	return nil
}

// write writes
//
//	thread-data = "THREAD" [SP 1*thread-list]
func (c *threadCmd) write(s *Session, tokens []mailbox.ThreadToken) {
	w := s.w
	w.Untagged()
	w.Raw("THREAD")
	space := true // the next token needs one before it
	for _, t := range tokens {
		switch t {
		case mailbox.ThreadOpen:
			if space {
				w.SP()
			}
			w.Raw("(")
			space = false
		case mailbox.ThreadClose:
			w.Raw(")")
			space = false
		default:
			if space {
				w.SP()
			}
			w.Number(c.number(s, mailbox.SeqNum(t)))
			space = true
		}
		if w.Pending() >= 32<<10 {
			w.Flush() // its error stays with the Writer
		}
	}
	w.CRLF()
}
