package main

// commands are what both servers are asked.
func commands() (all []string) {
	for _, key := range []string{"ARRIVAL", "CC", "DATE", "FROM", "SIZE", "SUBJECT", "TO", "DISPLAYFROM", "DISPLAYTO"} {
		all = append(all, "SORT ("+key+") UTF-8 ALL", "SORT (REVERSE "+key+") UTF-8 ALL")
	}
	for _, by := range []string{"SUBJECT DATE", "SUBJECT REVERSE DATE", "FROM REVERSE ARRIVAL SIZE", "REVERSE TO SUBJECT REVERSE SIZE", "CC DISPLAYFROM DATE"} {
		all = append(all, "SORT ("+by+") UTF-8 ALL")
	}
	all = append(all, "UID SORT (DATE) UTF-8 UNSEEN", "SORT (SUBJECT) UTF-8 FLAGGED", "SORT (DATE) UTF-8 SUBJECT roof")
	for _, alg := range []string{"ORDEREDSUBJECT", "REFERENCES", "REFS"} {
		all = append(all, "THREAD "+alg+" UTF-8 ALL", "UID THREAD "+alg+" UTF-8 UNSEEN", "THREAD "+alg+" UTF-8 SUBJECT roof")
	}
	for _, keys := range searches {
		all = append(all, "SEARCH "+keys)
	}
	for _, items := range []string{"ENVELOPE", "BODYSTRUCTURE", "BODY", "INTERNALDATE RFC822.SIZE", "PREVIEW"} {
		all = append(all, "FETCH 1:* ("+items+")")
	}
	return all
}

var searches = []string{
	"ALL", "UNSEEN", "SEEN", "FLAGGED", "UNFLAGGED", "ANSWERED", "DELETED", "DRAFT", "NOT DELETED", "SEEN FLAGGED",
	"OR SEEN FLAGGED", "NOT (SEEN FLAGGED)", "KEYWORD none", "UNKEYWORD none", "1:100", "NOT 1:100", "10,20,30:40",
	"UID 5:50", "UID 1:*", "LARGER 10000", "SMALLER 2000", "LARGER 5000 SMALLER 6000",
	"SINCE 1-Feb-2024", "BEFORE 1-Feb-2024", "ON 15-Jan-2024", "SENTSINCE 1-Feb-2024", "SENTBEFORE 1-Feb-2024",
	"SENTON 15-Jan-2024", "NOT SENTBEFORE 1-Jan-2000", "SINCE 10-Jan-2024 BEFORE 20-Jan-2024",
	"SUBJECT roof", "SUBJECT Roof", "SUBJECT \"re:\"", "SUBJECT \"\"", "NOT SUBJECT \"\"",
	"CHARSET UTF-8 SUBJECT \"größe\"", "CHARSET UTF-8 SUBJECT \"GRÖSSE\"", "CHARSET UTF-8 SUBJECT \"ОБЕД\"", "CHARSET UTF-8 SUBJECT \"会議\"",
	"FROM ada", "FROM \"p1@corpus\"", "CHARSET UTF-8 FROM \"ZOË\"", "FROM \"Ada Martin <p\"", "TO example", "TO friends", "CC a", "BCC a",
	"HEADER Message-ID corpus.example", "HEADER References \"\"", "HEADER X-Trace-3 a1", "HEADER X-None \"\"",
	"HEADER Subject \"folded subject\"", "HEADER Subject \"tabs  and\"", "HEADER Subject \"tabs and\"", "SUBJECT \"tabs and\"", "TEXT \"tabs  and\"", "TEXT \"tabs and\"",
	"FROM \"\\\"Ada Martin\\\" <p\"", "FROM \"\\\"Q, Uoted\\\"\"", "HEADER From \"Ada Martin <p\"", "FROM \"A Comment\"", "FROM \"zc@example.org (A\"", "TO \"friends: b@\"", "CC \"z@example.org, a@\"",
	"SENTON 1-Jan-1970", "SENTON 3-Jan-2037", "OR NOT SEEN NOT FLAGGED", "NOT (OR SEEN FLAGGED)", "UID *",
	"HEADER Date 2024", "HEADER To \"\"",
	"BODY invoice", "CHARSET UTF-8 BODY \"naïve\"", "CHARSET UTF-8 BODY \"NAÏVE\"", "TEXT budget", "TEXT multipart", "BODY multipart", "BODY \"</p>\"",
	"TEXT \"needle in base64\"", "BODY \"needle in base64\"", "BODY \"quoted printable needle\"", "BODY \"inner message needle\"", "TEXT \"Inner subject\"",
	"BODY \"Inner subject\"", "CHARSET UTF-8 BODY \"latin ümlaut\"", "BODY \"attachment text\"", "TEXT \"part-name.txt\"", "BODY \"preamble needle\"", "BODY \"unknown charset\"",
	"OR BODY invoice SUBJECT roof", "NOT TEXT the", "TEXT invoice TEXT meeting", "OR (SEEN TEXT invoice) (UNSEEN FROM ada)",
	"OLDER 60", "YOUNGER 60", "MODSEQ 1", "TEXT \"a b\"", "BODY \"line one line two\"",
}
