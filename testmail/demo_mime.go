package testmail

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strings"
	"time"
)

// tinyPNG is a picture of one pixel.
var tinyPNG, _ = base64.StdEncoding.DecodeString("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")

func latin1() func(time.Time, string) []byte {
	return func(at time.Time, id string) []byte {
		var b bytes.Buffer
		head(&b, at, id, "=?iso-8859-1?Q?Fran=E7ois?= <francois@mail.example>", "=?iso-8859-1?Q?Caf=E9_et_cr=E8me?=")
		b.WriteString("Content-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: 8bit\n\nLe caf\xe9 est pr\xeat.\n\nFran\xe7ois\n")
		return b.Bytes()
	}
}

func koi8() func(time.Time, string) []byte {
	return func(at time.Time, id string) []byte {
		var b bytes.Buffer
		head(&b, at, id, "=?koi8-r?B?7snLz8zByg==?= <nikolay@mail.example>", "=?koi8-r?B?8NLJ18XU?=")
		b.WriteString("Content-Type: text/plain; charset=koi8-r\nContent-Transfer-Encoding: quoted-printable\n\n=F0=D2=C9=D7=C5=D4!\n")
		return b.Bytes()
	}
}

func alternative(from, subject, text, html string) func(time.Time, string) []byte {
	return func(at time.Time, id string) []byte {
		var b bytes.Buffer
		head(&b, at, id, from, subject)
		fmt.Fprintf(&b, "Content-Type: multipart/alternative; boundary=\"alt-%d\"\n\n", at.Unix())
		fmt.Fprintf(&b, "--alt-%d\nContent-Type: text/plain; charset=utf-8\n\n%s\n", at.Unix(), text)
		fmt.Fprintf(&b, "--alt-%d\nContent-Type: text/html; charset=utf-8\n\n%s\n--alt-%d--\n", at.Unix(), html, at.Unix())
		return b.Bytes()
	}
}

func attachment(from, subject, text, name, media string, data []byte) func(time.Time, string) []byte {
	return func(at time.Time, id string) []byte {
		var b bytes.Buffer
		head(&b, at, id, from, subject)
		b.WriteString("Content-Type: multipart/mixed; boundary=\"=_mixed\"\n\nThis is a message with an attachment.\n\n--=_mixed\nContent-Type: text/plain; charset=us-ascii\nContent-Disposition: inline\n\n" + text + "\n--=_mixed\n")
		fmt.Fprintf(&b, "Content-Type: %s\nContent-Transfer-Encoding: base64\nContent-Disposition: attachment;\n", media)
		if isASCII(name) {
			fmt.Fprintf(&b, "\tfilename=\"%s\"; size=%d\n\n", name, len(data))
		} else {
			b.WriteString("\tfilename*0*=utf-8''" + percent(name[:len(name)/2]) + ";\n\tfilename*1*=" + percent(name[len(name)/2:]) + "\n\n")
		}
		b.WriteString(wrap64(data) + "--=_mixed--\n")
		return b.Bytes()
	}
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r >= 0x80 })
}

func percent(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		if c > ' ' && c < 0x7f && !strings.ContainsRune("*'%()<>@,;:\\\"/[]?=", rune(c)) {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

func forwarded() func(time.Time, string) []byte {
	return func(at time.Time, id string) []byte {
		var b bytes.Buffer
		head(&b, at, id, "Bruno Costa <bruno@mail.example>", "Fwd: The minutes")
		b.WriteString("Content-Type: multipart/mixed; boundary=outer\n\n--outer\nContent-Type: text/plain\n\nSee below.\n\n--outer\nContent-Type: message/rfc822\nContent-Disposition: inline\n\n")
		b.WriteString("From: Clara Novak <clara@mail.example>\nTo: Bruno Costa <bruno@mail.example>, \"Martin, Ada\" <ada@mail.example>\nCc: board: one@mail.example, two@mail.example;\nSubject: The minutes\nDate: " + at.Add(-time.Hour).Format(time.RFC1123Z) + "\nMessage-ID: <inner-" + id[1:] + "\nMIME-Version: 1.0\nContent-Type: multipart/alternative; boundary=inner\n\n")
		b.WriteString("--inner\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\nDie Minuten =E2=80=93 kurz.\n\n--inner\nContent-Type: text/html\n\n<p>Die Minuten</p>\n\n--inner--\n\n--outer--\n")
		return b.Bytes()
	}
}

func calendar() func(time.Time, string) []byte {
	return func(at time.Time, id string) []byte {
		var b bytes.Buffer
		head(&b, at, id, "Calendar <calendar@mail.example>", "Invitation: review")
		b.WriteString("Content-Type: multipart/alternative; boundary=cal\n\n--cal\nContent-Type: text/plain\n\nReview, Friday 15:00\n\n--cal\nContent-Type: text/calendar; method=REQUEST; charset=utf-8\n\nBEGIN:VCALENDAR\nMETHOD:REQUEST\nBEGIN:VEVENT\nSUMMARY:Review\nEND:VEVENT\nEND:VCALENDAR\n\n--cal--\n")
		return b.Bytes()
	}
}

func list(name, subject, text string) func(time.Time, string) []byte {
	return func(at time.Time, id string) []byte {
		var b bytes.Buffer
		head(&b, at, id, "Someone <someone@lists.example>", subject)
		fmt.Fprintf(&b, "List-Id: %s <maildir.lists.example>\nList-Unsubscribe: <mailto:maildir-leave@lists.example>\nReply-To: maildir@lists.example\nContent-Type: text/plain; charset=us-ascii\n\n%s", name, text)
		return b.Bytes()
	}
}

// rawEightBit has 8-bit octets where none may stand: in header fields without
// encoding and in a body that says nothing of a charset.
func rawEightBit() func(time.Time, string) []byte {
	return func(at time.Time, id string) []byte {
		var b bytes.Buffer
		head(&b, at, id, "Jos\xe9 <jose@mail.example>", "A\xf1o nuevo")
		b.WriteString("\nFeliz a\xf1o nuevo.\n")
		return b.Bytes()
	}
}

// broken has a boundary that never closes and a part without a header.
func broken() func(time.Time, string) []byte {
	return func(at time.Time, id string) []byte {
		var b bytes.Buffer
		head(&b, at, id, "mailer@broken.example (A mailer (nested) comment", "Broken MIME")
		b.WriteString("Content-Type: multipart/mixed; boundary=\"b1\"; charset\n\n--b1\n\nA part without a header.\n--b1\nContent-Type: multipart/related; boundary=b2\n\n--b2\nContent-Type: text/html\nContent-Transfer-Encoding: base64\n\nPGI+Ym9sZDwvYj4\n")
		return b.Bytes()
	}
}

func group() func(time.Time, string) []byte {
	return func(at time.Time, id string) []byte {
		var b bytes.Buffer
		fmt.Fprintf(&b, "From: Ada Martin <ada@mail.example>\nTo: undisclosed-recipients:;\nCc: Friends: Bruno <bruno@mail.example>, clara@mail.example;, elif@mail.example\nSubject: To everybody\nDate: %s\nMessage-ID: %s\n\nHello everybody.\n", at.Format(time.RFC1123Z), id)
		return b.Bytes()
	}
}

func htmlOnly(from, subject, html string) func(time.Time, string) []byte {
	return func(at time.Time, id string) []byte {
		var b bytes.Buffer
		head(&b, at, id, from, subject)
		b.WriteString("Content-Type: text/html; charset=utf-8\n\n" + html)
		return b.Bytes()
	}
}

func digest() func(time.Time, string) []byte {
	return func(at time.Time, id string) []byte {
		var b bytes.Buffer
		head(&b, at, id, "roof@lists.example", "Roof digest, issue 12")
		b.WriteString("Content-Type: multipart/digest; boundary=dig\n\n")
		for i := range 3 {
			fmt.Fprintf(&b, "--dig\n\nFrom: member%d@lists.example\nSubject: Tile %d\nDate: %s\n\nTile number %d is loose.\n\n", i, i, at.Format(time.RFC1123Z), i)
		}
		b.WriteString("--dig--\n")
		return b.Bytes()
	}
}

func related() func(time.Time, string) []byte {
	return func(at time.Time, id string) []byte {
		var b bytes.Buffer
		head(&b, at, id, "Elif Demir <elif@mail.example>", "With a picture inside")
		b.WriteString("Content-Type: multipart/related; type=\"multipart/alternative\"; boundary=rel\n\n--rel\nContent-Type: multipart/alternative; boundary=alt\n\n--alt\nContent-Type: text/plain\n\nSee the picture.\n\n--alt\nContent-Type: text/html\n\n<p>See <img src=\"cid:pic@mail.example\"></p>\n\n--alt--\n\n--rel\nContent-Type: image/png\nContent-ID: <pic@mail.example>\nContent-Description: one pixel\nContent-Transfer-Encoding: base64\nContent-Language: en, de\nContent-Location: pic.png\n\n" + wrap64(tinyPNG) + "--rel--\n")
		return b.Bytes()
	}
}
