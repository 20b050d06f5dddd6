package mailbox

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/emersion/go-imap/v2"

	"roost/disk"
	"roost/maildir"
)

// A Survey is what could be taken over from another server in one mailbox. It
// is told without changing anything.
type Survey struct {
	Name string
	// Served: roost has an index of the mailbox already, which decides.
	Served bool
	From   string // "Dovecot", "Courier"; "": no list of UIDs
	File   string // the list
	Older  string // a list of the other server, which is older and not used; ""

	UIDValidity uint32
	UIDNext     imap.UID
	Messages    int // files
	Kept        int // those that keep their UID
	Gone        int // entries of messages that are not there any more
	Twice       int // names with two UIDs: the later counts

	Keywords []string // that come along
	Nameless string   // letters in names that dovecot-keywords has no keyword for
	// Full: all 26 letters have keywords. Dovecot keeps further ones in
	// dovecot.index only, where they cannot be taken from.
	Full    bool
	Problem error // why nothing can be taken over
}

// SurveyAdoption tells for each mailbox of u what would be taken over. It
// writes nothing, takes no lock, and may be called while a server runs.
// Errors: those of reading.
func (st *Store) SurveyAdoption(ctx context.Context, u User) ([]Survey, error) {
	names, err := newNameMap(&st.o)
	if err != nil {
		return nil, err
	}
	tree, err := maildir.OpenTree(st.o.FS, u.Path, names.layout, st.o.InfoSep)
	if err != nil {
		return nil, fmt.Errorf("mailbox: survey: %w", err)
	}
	defer tree.Close()
	served, err := st.surveyAccount(tree.Root(), u)
	if err != nil {
		return nil, fmt.Errorf("mailbox: survey: %w", err)
	}
	all, err := tree.List()
	if err != nil {
		return nil, fmt.Errorf("mailbox: survey: %w", err)
	}
	var out []Survey
	for _, l := range all {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if !l.Selectable {
			continue
		}
		dir, err := openPath(st.o.FS, tree.Root(), u.Path, joinPath(l.Dir))
		if err != nil {
			return nil, fmt.Errorf("mailbox: survey: %w", err)
		}
		s := Survey{Name: names.client(l.Name), Served: served[joinPath(l.Dir)]}
		err = s.look(st, dir)
		dir.Close()
		if err != nil {
			return nil, fmt.Errorf("mailbox: survey %s: %w", s.Name, err)
		}
		out = append(out, s)
	}
	return out, nil
}

// surveyAccount gives the directories that roost.account knows.
func (st *Store) surveyAccount(root disk.Dir, u User) (map[string]bool, error) {
	if u.Index != "" {
		dir, err := st.o.FS.OpenRoot(u.Index)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		defer dir.Close()
		root = dir
	}
	file, err := root.Open(accountFileName)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size > accountFileMax {
		return nil, fmt.Errorf("%s: %d octets: %w", accountFileName, info.Size, ErrLimit)
	}
	data := make([]byte, info.Size)
	n, err := file.ReadAt(data, 0)
	if n < len(data) {
		return nil, err
	}
	served := map[string]bool{}
	seed, ok, err := parseAccountHeader(data)
	if err != nil || !ok {
		return served, err
	}
	state := newAccountState()
	parseAccountFrames(data, seed, state)
	for dir, r := range state.byDir {
		s := decodeForeign(r.Adopted)
		served[dir] = r.Adopted == nil || !s.pending
	}
	return served, nil
}

// look fills in what the files of the mailbox in dir say.
func (s *Survey) look(st *Store, dir disk.Dir) error {
	bases, letters, err := surveyNames(dir, st.o.InfoSep)
	if err != nil {
		return err
	}
	s.Messages = len(bases)
	words, _, err := maildir.ReadKeywords(dir)
	if err != nil {
		return err
	}
	s.Full = true
	for slot, name := range words {
		switch used := letters.Has(maildir.Keyword(slot)); {
		case name != "":
			s.Keywords = append(s.Keywords, name)
		case used:
			s.Nameless += string(rune('a' + slot))
			fallthrough
		default:
			s.Full = false
		}
	}
	f := foreignFiles{errs: map[foreignKind]error{}}
	if err := f.read(dir); err != nil {
		return err
	}
	kind := f.choose()
	if kind == foreignNone {
		return nil
	}
	s.From, s.File = kind.String(), kind.file()
	for _, other := range []foreignKind{foreignDovecot, foreignCourier} {
		if other != kind && f.stamps.list(other).Ino != 0 {
			s.Older = other.file()
		}
	}
	if s.Problem = f.usable(kind); s.Problem != nil {
		return nil
	}
	busy, err := maildir.UidlistBusy(st.o.FS, dir)
	if err != nil {
		return err
	}
	if busy {
		s.Problem = fmt.Errorf("mailbox: %s is there and younger than two minutes: stop Dovecot first: %w", maildir.UidlistLock, ErrUnavailable)
	}
	a, err := f.adoption(kind, dir)
	if err != nil {
		return err
	}
	s.UIDValidity, s.UIDNext = a.UIDValidity, a.UIDNext
	s.Twice = len(a.byUID) - len(a.UIDs)
	for base := range a.UIDs {
		if _, there := bases[base]; there {
			s.Kept++
		} else {
			s.Gone++
		}
	}
	seen := map[string]bool{}
	for base, list := range a.Words {
		if _, there := bases[base]; there {
			for _, w := range list {
				seen[w] = true
			}
		}
	}
	for _, w := range slices.Sorted(maps.Keys(seen)) {
		if !slices.ContainsFunc(s.Keywords, func(have string) bool { return strings.EqualFold(have, w) }) {
			s.Keywords = append(s.Keywords, w)
		}
	}
	return nil
}

// surveyNames lists the messages of a mailbox by base, and all letters of
// their names.
func surveyNames(dir disk.Dir, sep maildir.Sep) (bases map[string]struct{}, letters maildir.Letters, err error) {
	bases = map[string]struct{}{}
	for _, p := range []maildir.Place{maildir.New, maildir.Cur} {
		sub, err := dir.OpenDir(p.String())
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, 0, err
		}
		err = sub.ReadDir(func(e disk.Entry) bool {
			n, err := maildir.ParseName(e.Name, sep)
			if err == nil && (e.Type.IsRegular() || e.Type == fs.ModeIrregular) {
				bases[string(n.Base)] = struct{}{}
				letters |= n.Letters
			}
			return true
		})
		sub.Close()
		if err != nil {
			return nil, 0, err
		}
	}
	return bases, letters, nil
}
