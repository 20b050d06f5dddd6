package mailbox

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// BenchmarkParseFirst is what the first look at a message costs, against opening
// and reading its file.
func BenchmarkParseFirst(b *testing.B) {
	const n = 500
	f := testFixture(b)
	body := "From: a@example.org\nTo: b@example.org\nSubject: hello\nMIME-Version: 1.0\nContent-Type: multipart/alternative; boundary=b\n\n--b\nContent-Type: text/plain\n\n" +
		strings.Repeat("Some words of a message that nobody reads.\n", 40) + "--b\nContent-Type: text/html\n\n<p>" + strings.Repeat("more of them<br>\n", 60) + "--b--\n"
	for i := range n {
		if err := os.WriteFile(filepath.Join(f.path, "cur", fmt.Sprintf("%d.a:2,", i+1)), []byte(body), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	f.open()
	v := f.view(false)
	defer v.Close()
	b.Run("bare", func(b *testing.B) {
		buf := make([]byte, 64<<10)
		for i := 0; b.Loop(); i++ {
			file, err := os.Open(filepath.Join(f.path, "cur", fmt.Sprintf("%d.a:2,", i%n+1)))
			if err != nil {
				b.Fatal(err)
			}
			if _, err := file.Read(buf); err != nil {
				b.Fatal(err)
			}
			file.Close()
		}
	})
	b.Run("parse", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			c := v.content(SeqNum(i%n + 1))
			err := c.open()
			if err == nil {
				err = c.parse()
			}
			c.Close()
			if err != nil {
				b.Fatal(err)
			}
		}
	})
}
