package main

// A difference is an answer of roost that is not Dovecot's, and is meant. Any
// other makes the program fail.
type difference struct {
	command  string
	more     string // who alone finds messages: "roost", "Dovecot"; "" for other answers
	messages int    // how many answers or messages it is about; 0: that depends on the mail
	why      string
}

const (
	seenUnderNot = "Dovecot 2.3 never looks at the messages before the first unseen one where SEEN stands with another flag under NOT. They match: `NOT` is every message that the key does not match (RFC 9051 §6.4.4)."
	sentOnNoDay  = "Dovecot takes a message without a Date field that it can read for one of 1 January 1970. The SENT keys are about messages whose Date field is earlier, later or within a day (RFC 9051 §6.4.4): without one none of them matches, and their NOT does."
	addresses    = "Dovecot looks into the addresses written anew, one by one, with a name of several words in quotes. roost looks into the field as it is, and once more without quotes, so that both ways of writing an address find it; RFC 9051 §6.4.4 says neither (\"the envelope structure's FROM field\")."
	whiteSpace   = "Dovecot takes white space as it is in HEADER and TEXT, and runs of it for one space in SUBJECT. roost finds both in all three, since nobody sees the difference."
)

// differences are all of them. tools/rfc reads this list and puts it into
// docs/compliance.md.
var differences = []difference{
	{"SEARCH NOT (SEEN FLAGGED)", "roost", 0, seenUnderNot},
	{"SEARCH OR NOT SEEN NOT FLAGGED", "roost", 0, seenUnderNot},
	{"SEARCH SENTBEFORE 1-Feb-2024", "Dovecot", 14, sentOnNoDay},
	{"SEARCH SENTON 1-Jan-1970", "Dovecot", 14, sentOnNoDay},
	{"SEARCH NOT SENTBEFORE 1-Jan-2000", "roost", 14, sentOnNoDay},
	{"SEARCH FROM \"Ada Martin <p\"", "roost", 0, addresses},
	{"SEARCH FROM \"\\\"Q, Uoted\\\"\"", "roost", 1, "The field says `\"\\\"Q, Uoted\\\"\" <q@example.org>`. The name in the envelope is `\"Q, Uoted\"`: the key is in it (RFC 9051 §6.4.4). Dovecot has backslashes in what it looks into."},
	{"SEARCH FROM \"zc@example.org (A\"", "roost", 1, addresses},
	{"SEARCH TO \"friends: b@\"", "roost", 1, addresses},
	{"SEARCH CC \"z@example.org, a@\"", "roost", 1, addresses},
	{"SEARCH HEADER Subject \"tabs and\"", "roost", 1, whiteSpace},
	{"SEARCH TEXT \"tabs and\"", "roost", 1, whiteSpace},
	{"FETCH 1:* (ENVELOPE)", "", 1, "Dovecot takes runs of white space in a subject for one space. roost gives the field as it is, only unfolded."},
	{"FETCH 1:* (BODYSTRUCTURE)", "", 1, "A text part without a charset gets `us-ascii` (RFC 2045 §5.2): before its other parameters here, behind them in Dovecot. Their order means nothing."},
	{"FETCH 1:* (BODY)", "", 1, "As in BODYSTRUCTURE."},
	{"FETCH 1:* (PREVIEW)", "", 2, "Of a message that is another message roost gives the text of that one, Dovecot nothing; of HTML, Dovecot puts a space where a tag is, within words too (`<b>bud</b>get`). RFC 8970 §3.2 leaves the text to the server."},
}
