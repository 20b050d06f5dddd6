package mailbox

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/emersion/go-imap/v2"

	"roost/message"
)

// This file is SEARCH (RFC 9051 §6.4.4): which messages, not how the client
// wants to be told.

// SearchResult is what a search found.
type SearchResult struct {
	Seqs Seqs // in the numbering of the View, ascending
	// ModSeq is the highest mod-sequence among Seqs; 0 if there are none.
	ModSeq ModSeq
}

// SearchOptions change how a search runs, not what it finds.
type SearchOptions struct {
	// Progress, if set, is called from the goroutine that called Search, now
	// and then, with the number of messages done and in all.
	Progress func(done, total int)
	// Now is what ages are counted from.
	Now time.Time
	// Comparator compares text, also for Sort and Thread (RFC 5255 §4).
	Comparator message.Comparator
	// Descending turns the order of strings in Sort round (RFC 4790 §3.3).
	Descending bool
}

// Search finds the messages of v that match c. Messages that are expunged but
// not yet told are left out (RFC 2180 §4.3). Text is compared as package
// message compares it; a message that cannot be decoded is compared as it is.
// Errors: ErrLimit for too large a tree, ctx's error when it ends, and what
// reading files gives. No lock is held while files are read.
func (v *View) Search(ctx context.Context, c *Criteria, opts SearchOptions) (SearchResult, error) {
	var lastUID imap.UID
	if n := v.Len(); n > 0 {
		lastUID = v.UID(SeqNum(n))
	}
	plan, err := newSearchPlanFor(opts.Comparator, c, SeqNum(v.Len()), lastUID)
	if err != nil {
		return SearchResult{}, err
	}
	seqs, err := runSearch(ctx, plan, viewSource{v}, opts)
	if err != nil {
		return SearchResult{}, err
	}
	res := SearchResult{Seqs: seqs}
	if c.Uses(SearchModSeq) {
		for n := range seqs.All() {
			res.ModSeq = max(res.ModSeq, v.Message(n).ModSeq)
		}
	}
	return res, nil
}

// runSearch goes through src, with several goroutines when files are read.
func runSearch(ctx context.Context, plan *searchPlan, src searchSource, opts SearchOptions) (Seqs, error) {
	total := src.Len()
	size, workers := searchBlockSize, 1
	if plan.maxLevel >= levelHeader {
		// Smaller blocks share out large messages more evenly.
		size, workers = 64, max(2, runtime.GOMAXPROCS(0))
	}
	blocks := (total + size - 1) / size
	if blocks < 2 {
		workers = 1
	}
	hits := make([]searchBits, blocks)
	progress := opts.Progress
	if progress == nil {
		progress = func(int, int) {}
	}
	if workers == 1 {
		w := newSearchWorker(plan, src, opts.Now, ctx.Err)
		for k := range blocks {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			n := min(size, total-k*size)
			var err error
			if hits[k], err = w.block(SeqNum(k*size+1), n); err != nil {
				return nil, err
			}
			progress(k*size+n, total)
		}
		return collectSeqs(hits, size), nil
	}
	err := searchParallel(ctx, plan, src, hits, size, min(workers, blocks), opts.Now, progress)
	if err != nil {
		return nil, err
	}
	return collectSeqs(hits, size), nil
}

// searchParallel lets workers take one block after the other. They end when the
// blocks do, at the first error, or with ctx; all have ended on return.
func searchParallel(ctx context.Context, plan *searchPlan, src searchSource, hits []searchBits, size, workers int, now time.Time, progress func(done, total int)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	total := src.Len()
	var next atomic.Int64
	var wg sync.WaitGroup
	done := make(chan int, workers)
	for range workers {
		wg.Go(func() {
			w := newSearchWorker(plan, src, now, ctx.Err)
			for {
				k := int(next.Add(1) - 1)
				if k >= len(hits) || ctx.Err() != nil {
					return
				}
				n := min(size, total-k*size)
				found, err := w.block(SeqNum(k*size+1), n)
				if err != nil {
					cancel(err)
					return
				}
				hits[k] = found
				done <- n
			}
		})
	}
	go func() { // ends with the workers
		wg.Wait()
		close(done)
	}()
	sum := 0
	for n := range done {
		sum += n
		progress(sum, total)
	}
	return context.Cause(ctx)
}

// collectSeqs makes the set of all matches, in as much memory as it needs.
func collectSeqs(hits []searchBits, size int) Seqs {
	var out Seqs
	for k := range hits {
		for i := range hits[k].each {
			out = out.Add(SeqNum(k*size + i + 1))
		}
	}
	return out
}
