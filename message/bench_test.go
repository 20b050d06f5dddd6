package message

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"strings"
	"testing"
)

// typical is a multipart of about size octets as a mail program writes it.
func typical(size int) []byte {
	var b bytes.Buffer
	b.WriteString("Return-Path: <ann@example.org>\nDelivered-To: bob@example.com\n")
	for i := range 4 {
		fmt.Fprintf(&b, "Received: from mx%d.example.org (mx%d.example.org [192.0.2.%d])\n\tby mx.example.com (Postfix) with ESMTPS id 4Xyz%d\n\tfor <bob@example.com>; Mon,  7 Feb 1994 22:43:04 -0800 (PST)\n", i, i, i, i)
	}
	b.WriteString("DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.org; s=k1;\n\tbh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=;\n\tb=" + strings.Repeat("abcdefgh", 40) + "\n")
	b.WriteString("Date: Mon, 7 Feb 1994 21:52:25 -0800 (PST)\nFrom: \"Ann Example\" <ann@example.org>\nTo: Bob <bob@example.com>, carol@example.net\nCc: =?utf-8?q?Andr=C3=A9?= <andre@example.org>\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?= from the meeting\n\tof last week\nMessage-ID: <1994.abc@example.org>\nIn-Reply-To: <1993.xyz@example.com>\nReferences: <a@b> <1993.xyz@example.com>\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"=_outer_42\"\n\n")
	b.WriteString("This is a multi-part message in MIME format.\n--=_outer_42\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 7bit\n\n")
	for b.Len() < size/3 {
		b.WriteString("The quick brown fox jumps over the lazy dog, and then goes home again.\n")
	}
	b.WriteString("\n--=_outer_42\nContent-Type: application/pdf; name=\"minutes.pdf\"\nContent-Disposition: attachment; filename=\"minutes.pdf\"\nContent-Transfer-Encoding: base64\n\n")
	for b.Len() < size {
		b.WriteString(base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{0x25, 0x50, 0x44}, 19)) + "\n")
	}
	b.WriteString("\n--=_outer_42--\n")
	return b.Bytes()
}

func BenchmarkPreview(b *testing.B) {
	msg := typical(20 << 10)
	p, err := ParseBytes(msg)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	r := bytes.NewReader(msg)
	for b.Loop() {
		if s, err := Preview(r, p); err != nil || len(s) < 100 {
			b.Fatal(s, err)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	for _, size := range []int{4 << 10, 100 << 10} {
		msg := typical(size)
		b.Run(fmt.Sprintf("%dKB", size>>10), func(b *testing.B) {
			b.SetBytes(int64(len(msg)))
			b.ReportAllocs()
			r := bytes.NewReader(msg)
			for b.Loop() {
				if _, err := Parse(r, int64(len(msg))); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkBinary(b *testing.B) {
	p := mustParse(b, typical(4<<10))
	enc := p.AppendBinary(nil)
	b.ReportMetric(float64(len(enc)), "octets")
	b.Run("parse and BODYSTRUCTURE", func(b *testing.B) {
		b.ReportAllocs()
		var out []byte
		for b.Loop() {
			q, err := ParseBinary(enc)
			if err != nil {
				b.Fatal(err)
			}
			out = q.AppendBodyStructure(out[:0])
		}
	})
	b.Run("parser", func(b *testing.B) {
		b.ReportAllocs()
		var parser BinaryParser
		for b.Loop() {
			if _, err := parser.Parse(enc); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("append", func(b *testing.B) {
		var out []byte
		for b.Loop() {
			out = p.AppendBinary(out[:0])
		}
	})
}

func BenchmarkServe(b *testing.B) {
	line := strings.Repeat("x", 75)
	for name, nl := range map[string]string{"LF": "\n", "CRLF": "\r\n"} {
		msg := []byte("Subject: large\r\n\r\n" + strings.Repeat(line+nl, 1<<20/76))
		p := mustParse(b, msg)
		r := bytes.NewReader(msg)
		b.Run(name, func(b *testing.B) {
			b.SetBytes(p.Size())
			for b.Loop() {
				body, _, _ := p.Section(r, Section{})
				if _, err := body.WriteTo(io.Discard); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(name+"/ServedSize", func(b *testing.B) {
			b.SetBytes(int64(len(msg)))
			for b.Loop() {
				if _, err := ServedSize(r, int64(len(msg))); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkSearch(b *testing.B) {
	plain := []byte("Content-Type: text/plain\n\n" + strings.Repeat("The quick brown fox jumps over the lazy dog, and then goes home.\n", 16<<10))
	small := typical(4 << 10)
	german := []byte("Content-Type: text/plain; charset=iso-8859-1\n\n" + strings.Repeat("Die Br\xfcder gr\xfc\xdften alle V\xf6gel, und dann gingen sie nach Hause zur\xfcck.\n", 14<<10))
	for name, msg := range map[string][]byte{"1MB": plain, "4KB": small, "latin1": german} {
		b.Run(name, func(b *testing.B) {
			m := NewMatcher(TextKey{"nothing of that kind", true})
			p := mustParse(b, msg)
			r := bytes.NewReader(msg)
			b.SetBytes(int64(len(msg)))
			b.ReportAllocs()
			for b.Loop() {
				if got, err := m.Match(r, p); err != nil || got[0] {
					b.Fatal(got, err)
				}
			}
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, enc := range []string{"BASE64", "QUOTED-PRINTABLE"} {
		src := []byte(strings.Repeat("VGhlIHF1aWNrIGJyb3duIGZveCBqdW1wcyBvdmVyIHRoZSBsYXp5IGRvZyBhbmQgaG9tZS4K\n", 1000))
		if enc != "BASE64" {
			src = []byte(strings.Repeat("The quick brown f=C3=B6x jumps over the lazy dog, and then goes home =\nagain.\n", 1000))
		}
		b.Run(enc, func(b *testing.B) {
			b.SetBytes(int64(len(src)))
			var out []byte
			for b.Loop() {
				d := newDecoder(enc, true)
				out = d.finish(d.decode(out[:0], src))
			}
		})
	}
}

func mustParse(t testing.TB, msg []byte) *Part {
	t.Helper()
	p, err := Parse(bytes.NewReader(msg), int64(len(msg)))
	if err != nil {
		t.Fatalf("parse: %v", err)
	}
	return p
}
