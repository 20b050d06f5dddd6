package mailbox

import (
	"roost/index"
	"roost/maildir"
)

// This file turns names of files into what the index keeps of them and back.

// indexLetters are the letters of a name as the index counts them.
func indexLetters(l maildir.Letters) index.Letters {
	return index.Letters(l>>6) | index.Letters(l&maildir.SystemLetters)<<26
}

// fileLetters is the reverse of indexLetters.
func fileLetters(l index.Letters) maildir.Letters {
	return maildir.Letters(l)<<6 | maildir.Letters(l>>26)
}

// placeOf is the directory that n is in.
func placeOf(n index.Name) maildir.Place {
	if n.Where&index.InNew != 0 {
		return maildir.New
	}
	return maildir.Cur
}

// indexName is what the index keeps of the parsed name n in p.
func indexName(n maildir.Name, p maildir.Place) index.Name {
	out := index.Name{Letters: indexLetters(n.Letters)}
	if p == maildir.New {
		out.Where |= index.InNew
	}
	if len(n.Info) > 0 {
		out.Where |= index.HasInfo
	}
	if len(n.Exact) > 0 {
		out.Where |= index.ExactInfo
		out.Exact = string(n.Exact)
	}
	return out
}

// fileName is the name of the file with that base.
func (mb *Mailbox) fileName(base string, n index.Name) string {
	switch {
	case n.Where&index.ExactInfo != 0:
		return base + n.Exact
	case n.Where&index.HasInfo == 0:
		return base
	}
	return maildir.FileName(base, fileLetters(n.Letters), "", mb.dir.Sep())
}

// renamed is n with other letters, in cur/; false if such a name would be too
// long. Letters and fields that are not known stay as they are.
func (mb *Mailbox) renamed(base string, n index.Name, l index.Letters) (index.Name, bool) {
	old, err := maildir.ParseName([]byte(mb.fileName(base, n)), mb.dir.Sep())
	if err != nil {
		return n, false
	}
	name := old.With(fileLetters(l), mb.dir.Sep())
	parsed, err := maildir.ParseName([]byte(name), mb.dir.Sep())
	if err != nil {
		return n, false
	}
	return indexName(parsed, maildir.Cur), true
}
