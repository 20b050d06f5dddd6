// Command crash tries to make roost lose mail: it kills it, cuts its power,
// fills its disk, takes its descriptors, and asks package oracle whether
// anything is missing.
//
//	go run ./tools/crash -roost ./roost            every experiment, a few minutes
//	go run ./tools/crash -roost ./roost -hours 8   the same for hours
//	go run ./tools/crash -roost ./roost -only F6   one of them
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"roost/oracle"
)

func main() {
	binary := flag.String("roost", "./roost", "the server")
	hours := flag.Float64("hours", 0, "time for all experiments together; 0: the short form")
	only := flag.String("only", "", "names of experiments, with commas")
	seed := flag.Uint64("seed", uint64(time.Now().UnixNano()), "of what is random")
	full := flag.Bool("full", false, "the sizes of the long form, once; -hours implies it")
	keep := flag.String("keep", "", "directory for homes and ledgers; it stays")
	flag.Parse()
	ok, err := run(*binary, *hours, *full, *only, *seed, *keep)
	if err != nil {
		fmt.Fprintln(os.Stderr, "crash:", err)
	}
	if err != nil || !ok {
		os.Exit(1)
	}
}

func run(binary string, hours float64, full bool, only string, seed uint64, keep string) (ok bool, err error) {
	if binary, err = filepath.Abs(binary); err != nil {
		return false, err
	}
	if _, err := os.Stat(binary); err != nil {
		return false, err
	}
	dir := keep
	if dir == "" {
		if dir, err = os.MkdirTemp("", "roost-crash"); err != nil {
			return false, err
		}
		defer os.RemoveAll(dir)
	}
	var chosen []oracle.Experiment
	for _, e := range oracle.Experiments() {
		if only == "" || strings.Contains(","+only+",", ","+e.Name+",") {
			chosen = append(chosen, e)
		}
	}
	if len(chosen) == 0 {
		return false, fmt.Errorf("no experiment is called %s", only)
	}
	fmt.Printf("seed %d\n", seed)
	ok = true
	share := time.Duration(hours * float64(time.Hour) / float64(len(chosen)))
	for _, e := range chosen {
		r := &oracle.Run{Binary: binary, Dir: filepath.Join(dir, e.Name), Seed: seed, Full: full || hours > 0, Log: func(format string, args ...any) {
			fmt.Printf("      "+format+"\n", args...)
		}}
		if share > 0 {
			r.Until = time.Now().Add(share)
		}
		began := time.Now()
		summary, err := e.Do(r)
		verdict := "ok"
		switch {
		case errors.Is(err, oracle.ErrSkipped):
			verdict = "SKIPPED (" + err.Error() + ")"
		case err != nil:
			verdict, ok = "FAILED", false
		}
		fmt.Printf("%-6s %s: %s, %s (%.1f s)\n", e.Name, e.What, verdict, summary, time.Since(began).Seconds())
		if err != nil && !errors.Is(err, oracle.ErrSkipped) {
			fmt.Println(err)
		}
	}
	return ok, nil
}
