package session

import "roost/wire"

// This file is PREVIEW (RFC 8970).

// scanLazy reads the modifiers of PREVIEW. What follows it may also be the
// modifiers of FETCH.
//
//	fetch-att   =/ "PREVIEW" [SP "(" preview-mod *(SP preview-mod) ")"]
//	preview-mod =  "LAZY"
func scanLazy(sc *wire.Scanner) bool {
	if !sc.Follows(" (LAZY") {
		return false
	}
	sc.SP()
	sc.List(func() {
		if sc.Name() != "LAZY" {
			sc.Fail("unknown PREVIEW modifier")
		}
	})
	return true
}

// preview writes PREVIEW: from the cache, or from the message unless it is lazy.
// What is not at hand for a lazy one is made in the background.
func (l *fetchLine) preview(it *fetchItem) error {
	var text string
	ok := true
	if it.lazy {
		text, ok = l.open().CachedPreview()
	} else {
		var err error
		if text, err = l.open().Preview(); err != nil {
			return err
		}
	}
	l.room(int64(len(text)) + 100)
	l.begin("PREVIEW ")
	l.s.w.NString(text, ok)
	return nil
}
