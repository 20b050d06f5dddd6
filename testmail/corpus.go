package testmail

import (
	"bytes"
	"fmt"
	"iter"
	"math/rand/v2"
	"strings"
	"time"
)

var (
	people = []string{"Ada Martin", "Bruno Costa", "Clara Novak", "Elif Demir", "François Petit", "Jürgen Groß", "Nikolay Orlov", "Zoë van der Berg", "山田太郎", "\"O'Neil, Sean\""}
	words  = strings.Fields("the of and files mail server message folder index rename delivery flag number client answer thread invoice meeting roof garden slides photo holiday train ticket minutes report review deadline budget schedule backup restore disk kernel release notes patch question summary café naïve größe résumé")
	topics = []string{"Minutes of the meeting", "Roof repairs", "Invoice", "Holiday plans", "Release notes", "Backup failed", "Photos", "Your order", "Talk slides", "Größe der Tür", "Обед", "会議"}
)

// Corpus gives n messages that differ, of about 1 to 20 KB and sometimes more,
// with threads, several charsets, alternatives and attachments. Mailbox and
// Letters are set too (INBOX; about a third unseen); they arrive from start on,
// some minutes apart.
func Corpus(n int, seed uint64, start time.Time) iter.Seq[Mail] {
	return func(yield func(Mail) bool) {
		rng := rand.New(rand.NewPCG(seed, 7))
		type parent struct{ id, refs, subject string }
		var recent []parent
		at := start
		for i := range n {
			at = at.Add(time.Duration(1+rng.IntN(600)) * time.Second)
			id := fmt.Sprintf("<%d.%d@corpus.example>", seed, i)
			m := parent{id: id, subject: topics[rng.IntN(len(topics))] + fmt.Sprintf(" %d", rng.IntN(200))}
			if len(recent) > 0 && rng.IntN(3) > 0 {
				p := recent[rng.IntN(len(recent))]
				m.refs = strings.TrimSpace(p.refs + " " + p.id)
				m.subject = "Re: " + strings.TrimPrefix(p.subject, "Re: ")
			}
			recent = append(recent, m)
			if len(recent) > 50 {
				recent = recent[1:]
			}
			raw := corpusMessage(rng, at, m.id, m.refs, m.subject)
			letters := ""
			for _, l := range "FRST" {
				if (l == 'S' && rng.IntN(3) > 0) || rng.IntN(20) == 0 {
					letters += string(l)
				}
			}
			if !yield(Mail{Mailbox: "INBOX", Letters: letters, Received: at, Raw: raw}) {
				return
			}
		}
	}
}

func corpusMessage(rng *rand.Rand, at time.Time, id, refs, subject string) []byte {
	var b bytes.Buffer
	from := people[rng.IntN(len(people))]
	name := from
	if !isASCII(from) {
		name = word(from, []string{"Q", "B"}[rng.IntN(2)])
	}
	zone := time.FixedZone("", (rng.IntN(25)-12)*3600)
	if !isASCII(subject) {
		subject = word(subject, "B")
	}
	head(&b, at.In(zone), id, fmt.Sprintf("%s <p%d@corpus.example>", name, rng.IntN(300)), subject)
	if refs != "" {
		ids := strings.Fields(refs)
		if len(ids) > 20 {
			ids = ids[len(ids)-20:]
		}
		fmt.Fprintf(&b, "In-Reply-To: %s\nReferences: %s\n", ids[len(ids)-1], strings.Join(ids, "\n "))
	}
	for k := range rng.IntN(12) {
		fmt.Fprintf(&b, "X-Trace-%d: %016x%016x\n", k, rng.Uint64(), rng.Uint64())
	}
	switch rng.IntN(10) {
	case 0, 1, 2, 3:
		b.WriteString("Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n")
		prose(&b, rng, 20+rng.IntN(300))
	case 4, 5, 6, 7:
		bd := fmt.Sprintf("=_%08x", rng.Uint32())
		fmt.Fprintf(&b, "Content-Type: multipart/alternative;\n\tboundary=\"%s\"\n\n--%s\nContent-Type: text/plain; charset=utf-8\n\n", bd, bd)
		prose(&b, rng, 20+rng.IntN(300))
		fmt.Fprintf(&b, "\n--%s\nContent-Type: text/html; charset=utf-8\n\n<html><body><p>", bd)
		prose(&b, rng, 20+rng.IntN(600))
		fmt.Fprintf(&b, "</p></body></html>\n\n--%s--\n", bd)
	default:
		bd := fmt.Sprintf("----=_Part_%08x", rng.Uint32())
		fmt.Fprintf(&b, "Content-Type: multipart/mixed; boundary=\"%s\"\n\n--%s\nContent-Type: text/plain; charset=us-ascii\n\n", bd, bd)
		prose(&b, rng, 20+rng.IntN(100))
		data := make([]byte, 200+rng.IntN(12000))
		for i := range data {
			data[i] = byte(rng.Uint32())
		}
		fmt.Fprintf(&b, "\n--%s\nContent-Type: application/octet-stream; name=\"data%d.bin\"\nContent-Transfer-Encoding: base64\nContent-Disposition: attachment; filename=\"data%d.bin\"\n\n%s--%s--\n", bd, rng.IntN(100), rng.IntN(100), wrap64(data), bd)
	}
	return b.Bytes()
}

// prose writes n words in lines of about 70 octets.
func prose(b *bytes.Buffer, rng *rand.Rand, n int) {
	col := 0
	for range n {
		w := words[rng.IntN(len(words))]
		b.WriteString(w)
		col += len(w) + 1
		if col > 70 {
			b.WriteByte('\n')
			col = 0
		} else {
			b.WriteByte(' ')
		}
	}
	b.WriteByte('\n')
}
