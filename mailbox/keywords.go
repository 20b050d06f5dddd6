package mailbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"roost/index"
	"roost/maildir"
)

// keywordSlots are the keywords that have letters, as dovecot-keywords gives
// them. The mutex of the Mailbox guards it.
type keywordSlots struct {
	names maildir.Keywords
	stamp maildir.FileStamp
	taken index.Letters // letters that have a name
	sets  map[index.KeywordSet]index.Letters
	full  bool
}

// slotWait is how long a STORE waits for another program's lock on
// dovecot-keywords; a keyword without a letter is only in the index.
const slotWait = 2 * time.Second

func (s *keywordSlots) set(k maildir.Keywords, stamp maildir.FileStamp) {
	s.names, s.stamp, s.taken = k, stamp, 0
	s.sets = map[index.KeywordSet]index.Letters{}
	for slot, name := range k {
		if name != "" {
			s.taken |= 1 << slot
		}
	}
}

// load reads dovecot-keywords.
func (s *keywordSlots) load(dir *maildir.Dir, log *slog.Logger) {
	k, stamp, err := maildir.ReadKeywords(dir.Root())
	if err != nil {
		log.Warn("cannot read dovecot-keywords", "err", err)
	}
	s.set(k, stamp)
}

// lettersLocked are the letters of a set of keywords. mb.mu must be held.
func (s *keywordSlots) lettersLocked(ix *index.Index, k index.KeywordSet) index.Letters {
	if l, ok := s.sets[k]; ok {
		return l
	}
	var l index.Letters
	for _, name := range ix.KeywordNames(k) {
		if equalKeyword(name, forwarded) {
			l |= passedLetter // Dovecot knows only the letter of a slot
		}
		if slot := s.names.Slot(name); slot >= 0 {
			l |= 1 << slot
		}
	}
	s.sets[k] = l
	return l
}

// appendNames adds the keywords that letters stand for.
func (s *keywordSlots) appendNames(names []string, l index.Letters) []string {
	add := func(name string) {
		for _, have := range names {
			if equalKeyword(have, name) {
				return
			}
		}
		names = append(names, name)
	}
	if l&passedLetter != 0 {
		add(forwarded)
	}
	for slot, name := range s.names {
		if name != "" && l&(1<<slot) != 0 {
			add(name)
		}
	}
	return names
}

// equalKeyword compares keywords (RFC 9051 §2.3.2: case-insensitive).
func equalKeyword(a, b string) bool { return strings.EqualFold(a, b) }

// giveLetters makes sure that the keywords have letters before the first name
// with one is made. Those beyond the 26th, and those that cannot be written
// down now, are in the index only.
func (mb *Mailbox) giveLetters(ctx context.Context, names []string) {
	mb.mu.Lock()
	var missing []string
	for _, name := range names {
		// $Forwarded has a letter of its own; only Dovecot needs another one.
		if equalKeyword(name, forwarded) && !mb.foreign.dovecot.Load() {
			continue
		}
		if mb.words.names.Slot(name) < 0 {
			missing = append(missing, name)
		}
	}
	full := mb.words.full || mb.readOnly
	mb.mu.Unlock()
	if len(missing) == 0 || full {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, slotWait)
	defer cancel()
	k, stamp, err := maildir.AddKeywords(ctx, mb.o.FS, mb.dir.Root(), mb.dir.FileMode(), missing...)
	full = errors.Is(err, maildir.ErrNoSlot)
	if err != nil && !full {
		mb.log.Warn("cannot write dovecot-keywords", "err", err)
		return
	}
	mb.mu.Lock()
	defer mb.mu.Unlock()
	mb.words.set(k, stamp)
	mb.words.full = full
}

// readLetters reads dovecot-keywords again if it has changed: another program
// may have given a letter its name.
func (mb *Mailbox) readLetters() {
	stamp, err := maildir.StampFile(mb.dir.Root(), maildir.KeywordsFile)
	mb.mu.Lock()
	same := err != nil || stamp == mb.words.stamp
	mb.mu.Unlock()
	if same {
		return
	}
	k, stamp, err := maildir.ReadKeywords(mb.dir.Root())
	if err != nil {
		mb.log.Warn("cannot read dovecot-keywords", "err", err)
		return
	}
	mb.mu.Lock()
	defer mb.mu.Unlock()
	mb.words.set(k, stamp)
	mb.words.full = false
}

// setOf interns a set of keywords. mb.mu must be held. ErrLimit: the mailbox has
// too many.
func (mb *Mailbox) setOf(names []string) (index.KeywordSet, error) {
	if len(names) == 0 {
		return 0, nil
	}
	k, err := mb.ix.SetOf(names)
	if errors.Is(err, index.ErrKeywords) || errors.Is(err, index.ErrKeyword) {
		return 0, fmt.Errorf("%w: %w", ErrLimit, err)
	}
	return k, err
}
