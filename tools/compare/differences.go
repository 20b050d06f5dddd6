package main

// A difference is an answer of roost that is not Dovecot's, and is meant. Any
// other makes the program fail.
type difference struct {
	command string
	more    string // who finds messages that the other does not: "roost" or "Dovecot"
	why     string
}

// differences are all of them. tools/rfc reads this list and puts it into
// docs/compliance.md.
var differences = []difference{
	{"SEARCH NOT (SEEN FLAGGED)", "roost", "Dovecot 2.3 leaves out the messages before the first unseen one"},
	{"SEARCH SENTBEFORE 1-Feb-2024", "Dovecot", "Dovecot takes a message without a date for one of 1970; here it was sent on no day"},
	{"SEARCH NOT SENTBEFORE 1-Jan-2000", "roost", "the same"},
	{"SEARCH FROM \"Ada Martin <p\"", "roost", "Dovecot compares addresses without their angle brackets; here the field is compared as it is"},
}
