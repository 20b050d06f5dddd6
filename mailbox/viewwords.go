package mailbox

// KeywordsGrew reports whether keywords came up that the client was not told
// of, and takes them for told: a session asks before it shows the flags of a
// message, so that FLAGS comes first (RFC 9051 §7.3.5); the next Sync does not
// tell them again.
func (v *View) KeywordsGrew() bool {
	n := len(v.ix.AllKeywords())
	if n == v.words {
		return false
	}
	v.words = n
	v.note()
	return true
}
