package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A progress shows on one line of a terminal how far long work has come; on
// anything else it is silent.
type progress struct {
	w     io.Writer
	width int       // of what is shown
	last  time.Time // when it was shown last
}

// newProgress shows on w if that is a terminal.
func newProgress(w io.Writer) *progress {
	f, ok := w.(*os.File)
	if !ok {
		return &progress{}
	}
	if _, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS); err != nil {
		return &progress{}
	}
	return &progress{w: w}
}

// show tells that done of total are done; total is 0 if it is unknown. It draws
// at most ten times a second.
func (p *progress) show(what string, done, total int) {
	if p.w == nil || time.Since(p.last) < 100*time.Millisecond {
		return
	}
	p.last = time.Now()
	text := fmt.Sprintf("%s %d", what, done)
	if total > 0 {
		const cells = 30
		full := min(cells, done*cells/total)
		text = fmt.Sprintf("[%s%s] %s %d of %d", strings.Repeat("=", full), strings.Repeat(" ", cells-full), what, done, total)
	}
	p.draw(text)
}

// clear empties the line, so that other text can be written.
func (p *progress) clear() {
	if p.w != nil && p.width > 0 {
		p.draw("")
		fmt.Fprint(p.w, "\r")
		p.width = 0
	}
}

func (p *progress) draw(text string) {
	n := len([]rune(text))
	fmt.Fprintf(p.w, "\r%s%s", text, strings.Repeat(" ", max(0, p.width-n)))
	p.width = n
}
