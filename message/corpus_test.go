package message

import (
	"fmt"
	"strings"
)

type sample struct{ name, msg string }

// corpus are messages good and bad; what the wire says of each is in
// testdata/structure.golden.
var corpus = []sample{
	{"empty file", ""},
	{"one newline", "\n"},
	{"one CRLF", "\r\n"},
	{"no header", "\nhello\n"},
	{"header only, no line end", "Subject: x"},
	{"header only", "Subject: x\n"},
	{"header and blank line", "Subject: x\n\n"},
	{"plain LF", "From: a@b\nSubject: hi\n\nline 1\nline 2\n"},
	{"plain CRLF", "From: a@b\r\nSubject: hi\r\n\r\nline 1\r\nline 2\r\n"},
	{"mixed line ends", "From: a@b\nSubject: hi\r\n\nline 1\r\nline 2\nlone\rcr\n"},
	{"no final newline", "Subject: hi\n\nline 1\nline 2"},
	{"NULs", "Sub\x00ject: no\nSubject: a\x00b\nFrom: a\x00 <a\x00@b>\n\nx\x00y\n"},
	{"8-bit header", "From: J\xf6rg <j@x>\nSubject: Gr\xfc\xdfe\n\nx\n"},
	{"utf-8 header", "From: Jörg <j@x>\nSubject: Grüße\n\nx\n"},
	{"folded subject", "Subject: one\n two\n\tthree\r\n  four\n\nx\n"},
	{"tab inside", "Subject: one\ttwo\n\nx\n"},
	{"quote and backslash", "Subject: say \"hi\" \\o/\n\nx\n"},
	{"empty fields", "Date:\nSubject:\nFrom:\nSender: \nReply-To:\nTo:\nIn-Reply-To:\nMessage-ID:\n\nx\n"},
	{"repeated fields", "Date: d1\nDate: d2\nSubject: s1\nSubject: s2\nFrom: a@b\nFrom: c@d\nTo: e@f\nTo: g@h\nMessage-ID: <1>\nMessage-ID: <2>\n\nx\n"},
	{"sender and reply-to default", "From: Ann <a@b>\n\nx\n"},
	{"sender and reply-to given", "From: Ann <a@b>\nSender: s@t\nReply-To: \"R, T\" <r@t>\n\nx\n"},
	{"long subject", "Subject: " + strings.Repeat("x", 1001) + "\n\nx\n"},
	{"name with space before colon", "Subject : x\nFrom\t: a@b\n\nx\n"},
	{"mbox line first", "From a@b Mon Feb  7 1994\nSubject: x\n\nx\n"},
	{"line without colon", "Subject: x\nnonsense\nTo: a@b\n\nx\n"},
	{"space line in header", "Subject: x\n \nTo: a@b\n\nx\n"},

	{"groups", "To: undisclosed-recipients:;\nCc: A Group: Ann <a@b>, c@d;, e@f\nBcc: open: x@y\n\nx\n"},
	{"route", "To: <@a,@b:c@d>, X <@a.example : c@d>\n\nx\n"},
	{"missing domain and mailbox", "To: nobody, <somebody>, <>, <@nowhere>, @where, \"Name\" <>\n\nx\n"},
	{"comments as names", "From: a@b (Real Name)\nTo: (c) c@d (Real \\(x\\) (nested) One)\n\nx\n"},
	{"comment ends in backslash", "From: a@b (Real \\\n\nx\n"},
	{"unterminated comment", "From: a@b (((( Real, c@d\n\nx\n"},
	{"unterminated quote", "From: \"Ann <a@b>, c@d\n\nx\n"},
	{"unterminated angle", "From: ( Test <a@b\nTo: Ann <a@b, c@d\nCc: <a@b\n\nx\n"},
	{"quoted local part", "To: \"john doe\"@x.y, <\"a\\\"b\"@c>\n\nx\n"},
	{"obsolete dots and spaces", "To: john . q . public @ example . com, J. Doe <j@x>\n\nx\n"},
	{"domain literal", "To: a@[192.0.2.1], <b@[IPv6:2001:db8::1]>\n\nx\n"},
	{"address as name", "To: a@b <a@b>, \"c@d\" <c@d>, a@b@c\n\nx\n"},
	{"words before address", "To: John Doe j@x, k@y trailing words\n\nx\n"},
	{"commas only", "To: , ,, ;a@b;\n\nx\n"},
	{"encoded words stay", "From: =?utf-8?q?J=C3=B6rg?= <j@x>\nSubject: =?utf-8?b?R3LDvMOfZQ==?=\n\nx\n"},
	{"folded addresses", "To: Ann\n <a@b>,\n\tBob\r\n <c@d>\n\nx\n"},
	{"injection", "Subject: x\r\n * 1 EXPUNGE\n\nFrom: {10}\n"},

	{"type without subtype", "Content-Type: text\n\nx\n"},
	{"type unreadable", "Content-Type: ;;;\n\nx\n"},
	{"type with comments", "Content-Type: (a) text (b) / (c) html (d) ; (e) charset (f) = (g) utf-8 (h)\n\nx\n"},
	{"encoding with comment", "Content-Transfer-Encoding: (x) base64 (y)\nContent-Type: application/x\n\neA==\n"},
	{"encoding empty", "Content-Transfer-Encoding:\n\nx\n"},
	{"encoding unknown", "Content-Transfer-Encoding: x-uuencode\n\nx\n"},
	{"parameter without quotes", "Content-Type: application/pdf; name=my file (1).pdf\nContent-Disposition: attachment; filename=my file.pdf; size=3\n\nx\n"},
	{"parameters without semicolons", "Content-Type: text/plain charset=utf-8; ; format=flowed;;\n\nx\n"},
	{"all fields", "Content-Type: image/png\nContent-ID: <1@x>\nContent-Description: a\n picture\nContent-MD5: Q2hlY2s=\nContent-Disposition: inline; filename=\"a \\\"b\\\".png\"\nContent-Language: en, de (German)\nContent-Location: http://x/\nContent-Transfer-Encoding: base64\n\neA==\n"},
	{"one language", "Content-Language: en\n\nx\n"},
	{"RFC 2231 pieces", "Content-Type: application/x; name*1=\"lo.t\"; name*0=hel; name*2=xt\n\nx\n"},
	{"RFC 2231 charset", "Content-Type: application/x; title*0*=iso-8859-1'de'Gr%FC; title*1*=%DFe; title*2=\" an alle\"\n\nx\n"},
	{"RFC 2231 single", "Content-Disposition: attachment; filename*=UTF-8''na%C3%AFve.txt; filename=naive.txt\n\nx\n"},
	{"RFC 2231 broken", "Content-Type: application/x; a*0=1; a*2=3; b*=plain; c*0*=nope''%zz%4; d*999=x; *=y\n\nx\n"},
	{"encoded word in parameter", "Content-Disposition: attachment; filename=\"=?utf-8?q?na=C3=AFve.txt?=\"\n\nx\n"},
	{"text without charset", "Content-Type: text/html; format=flowed\n\nx\n"},

	{"multipart", "Subject: m\nContent-Type: multipart/mixed; boundary=b\n\npreamble\n--b\n\none\n--b\nContent-Type: text/html; charset=utf-8\n\n<p>two\n\n--b--\nepilogue\n"},
	{"multipart CRLF", "Content-Type: multipart/mixed; boundary=\"b c\"\r\n\r\n--b c\r\n\r\none\r\n--b c\r\n\r\ntwo\r\n--b c--\r\n"},
	{"multipart without parts", "Content-Type: multipart/mixed; boundary=b\n\nnothing\n"},
	{"multipart closed at once", "Content-Type: multipart/mixed; boundary=b\n\n--b--\nx\n"},
	{"multipart without boundary", "Content-Type: multipart/mixed\n\n--b\n\none\n--b--\n"},
	{"multipart without subtype", "Content-Type: multipart; boundary=b\n\n--b\n\none\n--b--\n"},
	{"multipart of empty parts", "Content-Type: multipart/mixed; boundary=b\n\n--b\n--b\n\n--b\n\n\n--b--\n"},
	{"no closing boundary", "Content-Type: multipart/mixed; boundary=b\n\n--b\n\none\n--b\n\ntwo\n"},
	{"boundary at end of file", "Content-Type: multipart/mixed; boundary=b\n\n--b\n\none\n--b"},
	{"boundary with white space", "Content-Type: multipart/mixed; boundary=b\n\n--b \t\n\none\n--b-- \n--b\n\nnot a part\n"},
	{"boundary inside header", "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/html\n--b\n\ntwo\n--b--\n"},
	{"boundary as part of a line", "Content-Type: multipart/mixed; boundary=b\n\n--b\n\nx --b\n ---b\n--a\n--\n--b--\n"},
	{"prefix boundaries, outer shorter", "Content-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: multipart/alternative; boundary=ab\n\n--ab\n\none\n--ab\n\ntwo\n--ab--\n--a\n\nthree\n--a--\n"},
	{"prefix boundaries, inner shorter", "Content-Type: multipart/mixed; boundary=ab\n\n--ab\nContent-Type: multipart/alternative; boundary=a\n\n--a\n\none\n--a--\n--ab\n\ntwo\n--ab--\n"},
	{"same boundary inside", "Content-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: multipart/alternative; boundary=a\n\n--a\n\none\n--a--\n--a\n\ntwo\n--a--\n"},
	{"outer boundary ends inner", "Content-Type: multipart/mixed; boundary=o\n\n--o\nContent-Type: multipart/alternative; boundary=i\n\n--i\n\none\n--o\n\ntwo\n--o--\n"},
	{"long boundary", "Content-Type: multipart/mixed; boundary=" + strings.Repeat("b", 300) + "\n\n--" + strings.Repeat("b", 300) + "\n\none\n--" + strings.Repeat("b", 300) + "--\n"},
	{"NUL in boundary", "Content-Type: multipart/mixed; boundary=\"a\x00b\"\n\n--ab\n\none\n--ab--\n"},
	{"digest", "Content-Type: multipart/digest; boundary=d\n\n--d\n\nSubject: one\nFrom: a@b\n\nbody one\n--d\nContent-Type: text/plain\n\ntwo\n--d\n\nSubject: three\n\nbody three\n\n--d--\n"},
	{"message", "Subject: outer\nContent-Type: message/rfc822\n\nSubject: inner\nFrom: i@x\n\ninner body\n"},
	{"message with multipart", "Content-Type: multipart/mixed; boundary=o\n\n--o\nContent-Type: message/rfc822\nContent-Disposition: attachment\n\nSubject: inner\nContent-Type: multipart/alternative; boundary=i\n\n--i\n\none\n--i\nContent-Type: text/html\n\ntwo\n--i--\n\n--o\n\nlast\n--o--\n"},
	{"message in base64", "Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\nU3ViamVjdDogeA0K\n"},
	{"message in 8bit", "Content-Type: message/rfc822\nContent-Transfer-Encoding: 8bit\n\nSubject: x\n\ny\n"},
	{"message/global", "Content-Type: message/global\n\nSubject: ä\n\ny\n"},
	{"message empty", "Content-Type: message/rfc822\n\n"},
	{"message without body", "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: message/rfc822\n\nSubject: x\n--b--\n"},
	{"delivery status", "Content-Type: multipart/report; report-type=delivery-status; boundary=b\n\n--b\n\nfailed\n--b\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; x\n\n--b--\n"},
	{"signed", "Content-Type: multipart/signed; protocol=\"application/pgp-signature\"; micalg=pgp-sha256; boundary=s\n\n--s\n\ntext\n--s\nContent-Type: application/pgp-signature\n\nsig\n--s--\n"},
	{"imap syntax as boundary", "Content-Type: multipart/mixed; boundary=\") {3}\\\\r\"\n\n--) {3}\\r\n\none\n--) {3}\\r--\n"},
}

// nested is a message with depth multiparts in each other.
func nested(depth int) string {
	var b strings.Builder
	for i := range depth {
		fmt.Fprintf(&b, "Content-Type: multipart/mixed; boundary=b%d_\n\n--b%d_\n", i, i)
	}
	b.WriteString("\nx\n")
	return b.String()
}

// forwarded is a message in a message, depth times.
func forwarded(depth int) string {
	return strings.Repeat("Content-Type: message/rfc822\n\n", depth) + "Subject: x\n\ny\n"
}

// manyParts is a multipart of n parts.
func manyParts(n int) string {
	return "Content-Type: multipart/mixed; boundary=b\n\n" + strings.Repeat("--b\n\nx\n", n) + "--b--\n"
}
