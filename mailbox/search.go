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
	memory := v.mb.sorting.remember(v.ix, &plan.fields)
	defer memory.done()
	seqs, err := runSearch(ctx, plan, viewSource{v}, memory, opts)
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

// A searchRun is one run of a plan over a source.
type searchRun struct {
	plan   *searchPlan
	src    searchSource
	memory *fieldMemory // nil: nothing is remembered
	now    time.Time

	first, total int // messages before those that may match; the number of these
	size         int // of a block
	hits         []searchBits
}

// runSearch goes through src, with several goroutines when files are read.
func runSearch(ctx context.Context, plan *searchPlan, src searchSource, memory *fieldMemory, opts SearchOptions) (Seqs, error) {
	r := searchRun{plan: plan, src: src, memory: memory, now: opts.Now, size: searchBlockSize}
	first, last := plan.root.span(src, SeqNum(src.Len()))
	if first > last {
		return nil, ctx.Err()
	}
	r.first, r.total = int(first-1), int(last-first+1)
	workers := 1
	if plan.maxLevel >= levelFacts { // what is not known costs system calls
		workers = max(2, runtime.GOMAXPROCS(0))
	}
	if plan.maxLevel >= levelHeader {
		r.size = 64 // smaller blocks share out large messages more evenly
	}
	r.hits = make([]searchBits, (r.total+r.size-1)/r.size)
	progress := opts.Progress
	if progress == nil {
		progress = func(int, int) {}
	}
	var err error
	if workers = min(workers, len(r.hits)); workers == 1 {
		err = r.alone(ctx, progress)
	} else {
		err = r.parallel(ctx, workers, progress)
	}
	if err != nil {
		return nil, err
	}
	return r.collect(), nil
}

// block runs block k and gives the number of messages in it.
func (r *searchRun) block(w *searchWorker, k int) (n int, err error) {
	n = min(r.size, r.total-k*r.size)
	r.hits[k], err = w.block(SeqNum(r.first+k*r.size+1), n)
	return n, err
}

// alone takes one block after the other.
func (r *searchRun) alone(ctx context.Context, progress func(done, total int)) error {
	w := newSearchWorker(r.plan, r.src, r.memory, r.now, ctx.Err)
	defer w.ahead.Release()
	for k := range r.hits {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := r.block(w, k)
		if err != nil {
			return err
		}
		progress(k*r.size+n, r.total)
	}
	return nil
}

// parallel lets workers take one block after the other. They end when the
// blocks do, at the first error, or with ctx; all have ended on return.
func (r *searchRun) parallel(ctx context.Context, workers int, progress func(done, total int)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var wg sync.WaitGroup
	done := make(chan int, workers)
	for range workers {
		wg.Go(func() {
			w := newSearchWorker(r.plan, r.src, r.memory, r.now, ctx.Err)
			defer w.ahead.Release()
			for {
				k := int(next.Add(1) - 1)
				if k >= len(r.hits) || ctx.Err() != nil {
					return
				}
				n, err := r.block(w, k)
				if err != nil {
					cancel(err)
					return
				}
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
		progress(sum, r.total)
	}
	return context.Cause(ctx)
}

// collect makes the set of all matches, in as much memory as it needs.
func (r *searchRun) collect() Seqs {
	var out Seqs
	for k := range r.hits {
		for i := range r.hits[k].each {
			out = out.Add(SeqNum(r.first + k*r.size + i + 1))
		}
	}
	return out
}

// span gives the message numbers between which everything lies that n can
// match, of those up to size; first is behind last if there is nothing.
func (n *searchNode) span(src searchSource, size SeqNum) (first, last SeqNum) {
	first, last = 1, size
	switch n.Kind {
	case SearchNone:
		return 1, 0
	case SearchSeqs:
		if len(n.seqs) == 0 {
			return 1, 0
		}
		return n.seqs[0].First, lastOf(n.seqs)
	case SearchUIDs:
		if len(n.uids) == 0 {
			return 1, 0
		}
		end := n.uids[0].Stop
		for _, r := range n.uids {
			end = max(end, r.Stop)
		}
		return max(src.seqFrom(n.uids[0].Start), 1), min(src.seqFrom(end), size)
	case SearchAnd:
		for _, kid := range n.kids {
			from, to := kid.span(src, size)
			first, last = max(first, from), min(last, to)
		}
	}
	return first, last
}

func lastOf(seqs []SeqRange) (last SeqNum) {
	for _, r := range seqs {
		last = max(last, r.Last)
	}
	return last
}
