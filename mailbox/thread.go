package mailbox

import (
	"context"
	"math"
	"slices"
)

// This file is THREAD (RFC 5256 §3): messages arranged as conversations.

// ThreadAlgorithm is how THREAD arranges messages.
type ThreadAlgorithm uint8

// The algorithms.
const (
	ThreadOrderedSubject ThreadAlgorithm = iota // RFC 5256 §3
	ThreadReferences                            // RFC 5256 §3
	// ThreadRefs is draft-ietf-morg-inthread as Dovecot does it: REFERENCES
	// without step 5, subjects, and with the threads in the order of their
	// latest message.
	ThreadRefs
)

// A ThreadToken is a piece of the answer of THREAD: a message number, or the
// begin or end of a list. Between two numbers, and between a number and a list,
// the grammar wants a space.
//
//	thread-list    = "(" (thread-members / thread-nested) ")"
//	thread-members = nz-number *(SP nz-number) [SP thread-nested]
//	thread-nested  = 2*thread-list
type ThreadToken uint32

// The lists.
const (
	ThreadOpen  ThreadToken = 0
	ThreadClose ThreadToken = math.MaxUint32
)

// Thread arranges msgs. The columns that it needs are made at first use, as for
// Sort. It takes time and memory in proportion to the messages and their
// references, whatever those say. Errors: ctx's, and those of reading files.
func (v *View) Thread(ctx context.Context, alg ThreadAlgorithm, msgs Seqs, opts SearchOptions) ([]ThreadToken, error) {
	seqs := slices.AppendSeq(make([]SeqNum, 0, msgs.Len()), msgs.All())
	in := threadInput{msgs: make([]threadMessage, len(seqs))}
	need := keyDates
	if alg != ThreadOrderedSubject {
		need |= keyRefs
	}
	if alg != ThreadRefs {
		need |= keyTexts
	}
	err := v.columns(ctx, seqs, need, &opts, func(sc *sortColumns, texts *textColumn, refs *refColumn) {
		for i, n := range seqs {
			row := v.row(n)
			if row < 0 {
				continue
			}
			m := &in.msgs[i]
			if m.date = sc.dates[row]; m.date == unknownDate {
				m.date = 0 // its file is gone
			}
			if texts != nil {
				s := texts.get(row)[textSubject]
				m.subject, m.reply = s&^replyBit-1, s&replyBit != 0
			}
			if refs != nil {
				id, list := refs.get(row)
				m.id, m.refs = id, list // never changed, only appended to
			}
		}
		if refs != nil {
			in.ids = uint32(len(refs.numbers))
		}
	})
	if err != nil {
		return nil, err
	}
	var f *threadForest
	switch alg {
	case ThreadOrderedSubject:
		f = in.orderedSubject()
	default:
		f = in.references(alg == ThreadReferences)
	}
	return f.tokens(seqs), ctx.Err()
}

// threadMessage is what the algorithms know of a message.
type threadMessage struct {
	id      uint32 // 0: none
	refs    []uint32
	date    int64
	subject uint32 // equal for equal base subjects; 0: empty
	reply   bool   // the subject says that it is a reply or forward
}

// threadInput is the messages in the order of their numbers, with ids 1 to ids.
type threadInput struct {
	msgs []threadMessage
	ids  uint32
}

// byDate gives the messages in the order of their dates, then of their numbers.
func (in *threadInput) byDate() []int32 {
	dates := make([]uint64, len(in.msgs))
	for i := range in.msgs {
		dates[i] = orderOf(in.msgs[i].date)
	}
	return sortPerm(len(dates), [][]uint64{dates})
}

// none is no node.
const none = -1

// A threadForest is the result: nodes below len(msgs) are messages, those above
// stand for messages that are not there. Siblings are linked in their order.
type threadForest struct {
	messages int
	roots    []int32
	first    []int32
	last     []int32
	next     []int32
}

func newThreadForest(messages, nodes int) *threadForest {
	f := &threadForest{messages: messages}
	all := make([]int32, 3*nodes)
	for i := range all {
		all[i] = none
	}
	f.first, f.last, f.next = all[:nodes], all[nodes:2*nodes], all[2*nodes:]
	return f
}

// add makes child the last child of parent.
func (f *threadForest) add(parent, child int32) {
	if f.first[parent] == none {
		f.first[parent] = child
	} else {
		f.next[f.last[parent]] = child
	}
	f.last[parent] = child
}

// tokens writes the forest down. It does not recurse: conversations may be as
// deep as there are messages.
func (f *threadForest) tokens(seqs []SeqNum) []ThreadToken {
	out := make([]ThreadToken, 0, len(seqs)+2*len(f.roots))
	var open []int32 // siblings to go on with once the list is closed
	for _, root := range f.roots {
		out = append(out, ThreadOpen)
		for node := root; ; {
			if int(node) < f.messages {
				out = append(out, ThreadToken(seqs[node]))
			}
			child := f.first[node]
			if child != none && f.next[child] == none && int(node) < f.messages {
				node = child // one child goes on in the same list
				continue
			}
			if child != none {
				open = append(open, f.next[child])
				out = append(out, ThreadOpen)
				node = child
				continue
			}
			node = none
			for node == none && len(open) > 0 {
				out = append(out, ThreadClose)
				if node = open[len(open)-1]; node == none {
					open = open[:len(open)-1]
					continue
				}
				open[len(open)-1] = f.next[node]
				out = append(out, ThreadOpen)
			}
			if node == none {
				break
			}
		}
		out = append(out, ThreadClose)
	}
	return out
}

// orderedSubject is ORDEREDSUBJECT: the first message of each base subject is
// the parent of all others.
func (in *threadInput) orderedSubject() *threadForest {
	f := newThreadForest(len(in.msgs), len(in.msgs))
	first := make(map[uint32]int32, len(in.msgs))
	for _, i := range in.byDate() {
		root, ok := first[in.msgs[i].subject]
		if !ok {
			first[in.msgs[i].subject] = i
			f.roots = append(f.roots, i)
			continue
		}
		f.add(root, i)
	}
	return f
}
