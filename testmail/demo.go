package testmail

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"mime/quotedprintable"
	"strings"
	"time"
)

// A Mail is one message as an MTA would store it (LF line ends).
type Mail struct {
	Mailbox  string    // in UTF-8 with "/", INBOX for the inbox
	Letters  string    // Maildir flags, sorted: "FS"; keyword letters a to z too
	New      bool      // still in new/, without flags
	Received time.Time // when it arrived
	Raw      []byte
}

// DemoKeywords are the names of the keyword letters that Demo uses, from a on.
var DemoKeywords = []string{"Junk", "NonJunk", "$MDNSent"}

// Demo gives the messages of the demo account, the newest a few minutes before
// now.
func Demo(now time.Time) []Mail {
	var out []Mail
	at := now.Add(-45 * 24 * time.Hour).Truncate(time.Second)
	step := now.Sub(at) / time.Duration(len(demoMails)+1)
	for i, d := range demoMails {
		at = at.Add(step)
		out = append(out, Mail{
			Mailbox: d.mailbox, Letters: d.letters, New: d.isNew, Received: at,
			Raw: d.raw(at, fmt.Sprintf("<%d.demo@mail.example>", 1000+i)),
		})
	}
	return out
}

// demoMail makes its bytes for a date and a Message-ID.
type demoMail struct {
	mailbox, letters string
	isNew            bool
	raw              func(at time.Time, id string) []byte
}

var demoMails = []demoMail{
	{"INBOX", "S", false, plain("Ada Martin <ada@mail.example>", "Welcome", "Hello,\n\nyour mailbox is ready. Nothing was converted: every message is a file\nin your Maildir, and every program that reads Maildirs may go on using it.\n\nAda\n")},
	{"INBOX", "RS", false, plain("Bruno Costa <bruno@mail.example>", "Lunch on Thursday?", "Shall we say half past twelve at the usual place?\n\nBruno\n")},
	{"Sent", "S", false, reply("Re: Lunch on Thursday?", "Fine with me. I'll book a table.\n\n> Shall we say half past twelve at the usual place?\n", 2)},
	{"INBOX", "S", false, plain("Bruno Costa <bruno@mail.example>", "Re: Lunch on Thursday?", "Perfect, see you there.\n")},
	{"INBOX", "S", false, encoded("Jürgen Groß <juergen@mail.example>", "Grüße aus Köln", "Lieber Demo,\n\nviele Grüße aus Köln. Das Wetter ist schön, der Kaffee auch.\n\nJürgen\n", "utf-8", "Q")},
	{"INBOX", "FS", false, encoded("山田太郎 <taro@mail.example>", "会議の日程について", "お世話になっております。\n\n来週の会議は水曜日の十時からです。\n\n山田\n", "utf-8", "B")},
	{"INBOX", "S", false, latin1()},
	{"INBOX", "S", false, koi8()},
	{"INBOX", "S", false, alternative("The Weekly <news@weekly.example>", "This week: five ways to store mail", "Five ways to store mail\n=======================\n\n1. In files.\n2. In more files.\n", "<html><body><h1>Five ways to store mail</h1><ol><li>In files.</li><li>In more <b>files</b>.</li></ol></body></html>\n")},
	{"INBOX", "PS", false, attachment("Clara Novak <clara@mail.example>", "The minutes", "Minutes attached.\n", "minutes-2026-10.pdf", "application/pdf", []byte("%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"))},
	{"INBOX", "S", false, attachment("Clara Novak <clara@mail.example>", "Photo of the roof", "Here is the broken tile.\n", "tile.png", "image/png", tinyPNG)},
	{"INBOX", "FS", false, forwarded()},
	{"INBOX", "S", false, plain("cron@host.example (Cron Daemon)", "Cron <root@host> /usr/local/bin/backup", "backup: 3124 files, 1.2 GiB, 4 min 11 s\n")},
	{"INBOX", "S", false, calendar()},
	{"INBOX", "RS", false, plain("Elif Demir <elif@mail.example>", "Your talk", "Hi,\n\ncould you send me the slides of your talk? I'd like to show them to the\nothers on Monday.\n\nThanks,\nElif\n")},
	{"Sent", "S", false, reply("Re: Your talk", "Of course, attached below is the link.\n\nhttps://slides.example/maildir-talk\n", 15)},
	{"INBOX", "Sb", false, list("Maildir developers", "[maildir] rename(2) and readdir(3)", "Has anyone measured how often readdir() misses a name that is renamed while\nthe directory is read?\n")},
	{"INBOX", "Sb", false, list("Maildir developers", "Re: [maildir] rename(2) and readdir(3)", "> Has anyone measured how often readdir() misses a name that is renamed while\n> the directory is read?\n\nOften enough. Never expunge on one scan.\n")},
	{"INBOX", "", false, rawEightBit()},
	{"INBOX", "", false, broken()},
	{"INBOX", "T", false, plain("shop@shop.example", "Last chance: 20 % off", "Only today.\n")},
	{"INBOX", "", true, alternative("Energie AG <rechnung@energie.example>", "=?ISO-8859-1?Q?Ihre_Rechnung_f=FCr_Oktober?=", "Ihre Rechnung liegt bereit.\n", "<p>Ihre Rechnung liegt bereit.</p>\n")},
	{"INBOX", "", true, plain("Bruno Costa <bruno@mail.example>", "Thursday again", "Same time, same place?\n\nBruno\n")},
	{"INBOX", "", true, encoded("Zoë van der Berg <zoe@mail.example>", "Foto’s van de reis — deel 1 van een heel lange reeks met een onderwerp dat over meer dan één regel gaat", "Hoi,\n\nhier komen de eerste foto's.\n\nZoë\n", "utf-8", "B")},
	{"INBOX", "", true, group()},
	{"Drafts", "DS", false, plain("Demo <demo@mail.example>", "Notes for the talk", "- files are the truth\n- UIDs never change\n- \n")},
	{"Drafts", "DS", false, plain("Demo <demo@mail.example>", "", "Draft without a subject.\n")},
	{"Sent", "S", false, plain("Demo <demo@mail.example>", "Invoice 2026-118", "Please find the invoice for September below.\n\nTotal: 420.00 EUR\n")},
	{"Sent", "S", false, attachment("Demo <demo@mail.example>", "Contract", "Signed, thank you.\n", "Vertrag – unterschrieben.txt", "text/plain", []byte("signed\n"))},
	{"Junk", "Sa", false, plain("\"Prince, with money\" <prince@spam.example>", "CONFIDENTIAL!!!", "Dear friend, I have a proposal.\n")},
	{"Junk", "a", false, htmlOnly("deals@spam.example", "You won", "<html><body><img src=\"http://spam.example/p.gif\" width=1 height=1>You won!</body></html>\n")},
	{"Junk", "a", false, encoded("Виктор <viktor@spam.example>", "Выгодное предложение", "Только сегодня.\n", "utf-8", "B")},
	{"Trash", "S", false, plain("Calendar <calendar@mail.example>", "Reminder: dentist", "Tomorrow, 08:30.\n")},
	{"Trash", "S", false, plain("Ada Martin <ada@mail.example>", "Test", "Only a test.\n")},
	{"Projects/Roof", "S", false, plain("Clara Novak <clara@mail.example>", "Offer for the roof", "The offer of the roofer: 3,400 EUR, two days of work in November.\n")},
	{"Projects/Roof", "FS", false, plain("Dachdecker Meier <info@dach.example>", "Termin", "Wir kommen am Montag um sieben Uhr.\n")},
	{"Projects/Roof", "S", false, digest()},
	{"Projects", "S", false, plain("Demo <demo@mail.example>", "List of projects", "Roof, garden, mail server.\n")},
	{"INBOX", "S", false, related()},
	{"INBOX", "", true, plain("Ada Martin <ada@mail.example>", "Try this", "Drop a file into new/ and watch it arrive in your client at once.\n\nAda\n")},
}

func head(b *bytes.Buffer, at time.Time, id, from, subject string) {
	fmt.Fprintf(b, "Return-Path: <bounce@mail.example>\nDelivered-To: demo@mail.example\nReceived: from mx.example (mx.example [192.0.2.25])\n\tby mail.example (Postfix) with ESMTPS id 4XyZ%05d\n\tfor <demo@mail.example>; %s\n",
		at.Unix()%100000, at.Format(time.RFC1123Z))
	fmt.Fprintf(b, "From: %s\nTo: Demo <demo@mail.example>\n", from)
	if subject != "" {
		fmt.Fprintf(b, "Subject: %s\n", subject)
	}
	fmt.Fprintf(b, "Date: %s\nMessage-ID: %s\nMIME-Version: 1.0\n", at.Format(time.RFC1123Z), id)
}

func plain(from, subject, text string) func(time.Time, string) []byte {
	return func(at time.Time, id string) []byte {
		var b bytes.Buffer
		head(&b, at, id, from, subject)
		b.WriteString("Content-Type: text/plain; charset=us-ascii\n\n" + text)
		return b.Bytes()
	}
}

func reply(subject, text string, to int) func(time.Time, string) []byte {
	return func(at time.Time, id string) []byte {
		var b bytes.Buffer
		head(&b, at, id, "Demo <demo@mail.example>", subject)
		ref := fmt.Sprintf("<%d.demo@mail.example>", 1000+to-1)
		fmt.Fprintf(&b, "In-Reply-To: %s\nReferences: %s\nContent-Type: text/plain; charset=us-ascii; format=flowed\n\n%s", ref, ref, text)
		return b.Bytes()
	}
}

// word encodes UTF-8 text as encoded words of at most 30 octets each.
func word(text, form string) string {
	var words []string
	for len(text) > 0 {
		n := 0
		for i := range text {
			if i > 30 {
				break
			}
			n = i
		}
		if len(text) <= 30 {
			n = len(text)
		}
		part := text[:n]
		text = text[n:]
		if form == "B" {
			words = append(words, "=?UTF-8?B?"+base64.StdEncoding.EncodeToString([]byte(part))+"?=")
			continue
		}
		var q strings.Builder
		for _, c := range []byte(part) {
			switch {
			case c == ' ':
				q.WriteByte('_')
			case c > ' ' && c < 0x7f && c != '=' && c != '?' && c != '_':
				q.WriteByte(c)
			default:
				fmt.Fprintf(&q, "=%02X", c)
			}
		}
		words = append(words, "=?utf-8?Q?"+q.String()+"?=")
	}
	return strings.Join(words, "\n ")
}

func encoded(from, subject, text, charset, form string) func(time.Time, string) []byte {
	return func(at time.Time, id string) []byte {
		var b bytes.Buffer
		name, addr, _ := strings.Cut(from, " <")
		head(&b, at, id, word(name, form)+" <"+addr, word(subject, form))
		fmt.Fprintf(&b, "Content-Type: text/plain; charset=%s\n", charset)
		if form == "B" {
			b.WriteString("Content-Transfer-Encoding: base64\n\n" + wrap64([]byte(text)))
			return b.Bytes()
		}
		b.WriteString("Content-Transfer-Encoding: quoted-printable\n\n")
		w := quotedprintable.NewWriter(&b)
		fmt.Fprint(w, text)
		w.Close()
		return bytes.ReplaceAll(b.Bytes(), []byte("\r\n"), []byte("\n"))
	}
}

func wrap64(data []byte) string {
	s := base64.StdEncoding.EncodeToString(data)
	var b strings.Builder
	for len(s) > 76 {
		b.WriteString(s[:76] + "\n")
		s = s[76:]
	}
	b.WriteString(s + "\n")
	return b.String()
}
