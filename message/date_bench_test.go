package message

import "testing"

func BenchmarkParseDate(b *testing.B) {
	for name, raw := range map[string]string{
		"RFC 5322": " Mon, 7 Feb 1994 21:52:25 -0800 (PST)\n",
		"asctime":  " Mon Feb  7 21:52:25 1994\n",
		"none":     " yesterday at noon\n",
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				ParseDate([]byte(raw))
			}
		})
	}
}
