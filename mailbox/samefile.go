package mailbox

import (
	"cmp"
	"context"
	"errors"
	"hash/maphash"
	"io/fs"
	"slices"
	"time"

	"roost/disk"
	"roost/index"
	"roost/maildir"
)

// This file is rule R13: a program that gives a file another base has not made
// another message of it. mbsync adds ",U=n" to every name on its first run; if
// that gave new UIDs, every client would download everything again. The proofs,
// the strongest that there is counts:
//
//  1. the name of the message is gone, and one new base has the same key;
//  2. its inode is the one that the message had, if a scan, an arrival or a
//     reading of the directory has told that since the load;
//  3. as inodes are used again: size and time, or size and inode, are what the
//     cache says, if it has the message;
//  4. else nothing that the index knows says otherwise. A message of which it
//     knows neither size nor date was never shown to a client by roost.

// inodePrints are the inodes of the files of messages, by row, four octets each;
// 0: not known. They are of this process: inodes of before a restart prove
// nothing. Mailbox.mu guards them.
type inodePrints struct {
	blocks []*[inodeBlock]uint32
	told   bool // readdir tells the inodes that lstat tells: not so on some overlays
	asked  bool // told is known
}

const inodeBlock = 4096

func (p *inodePrints) get(row index.Row) uint32 {
	if b := int(row) / inodeBlock; b < len(p.blocks) && p.blocks[b] != nil {
		return p.blocks[b][row%inodeBlock]
	}
	return 0
}

func (p *inodePrints) set(row index.Row, print uint32) {
	b := int(row) / inodeBlock
	for b >= len(p.blocks) {
		p.blocks = append(p.blocks, nil)
	}
	if p.blocks[b] == nil {
		p.blocks[b] = new([inodeBlock]uint32)
	}
	p.blocks[b][row%inodeBlock] = print
}

// askInode finds out, once, whether the inodes of a directory's list can be
// compared with those of lstat.
func (mb *Mailbox) askInode(p maildir.Place, name string, print uint32) (told bool) {
	mb.mu.Lock()
	asked, told := mb.inodes.asked, mb.inodes.told
	mb.mu.Unlock()
	if asked {
		return told
	}
	info, err := mb.dir.Lstat(p, name)
	if err != nil {
		return false
	}
	mb.mu.Lock()
	defer mb.mu.Unlock()
	mb.inodes.asked, mb.inodes.told = true, print == maildir.InodePrint(info.Ino)
	return mb.inodes.told
}

// readInodes learns the inodes that no scan has told since the load, once the
// first file got another base: more may follow. It is work for the background:
// no lock is held for long and nothing waits for it.
func (mb *Mailbox) readInodes(ctx context.Context) {
	mb.count.InodePasses.Add(1)
	type entry struct {
		base  []byte
		print uint32
	}
	batch := make([]entry, 0, lockedAtOnce/4)
	var octets []byte
	note := func() {
		mb.mu.Lock()
		bases := mb.basesLocked()
		for _, e := range batch {
			if row := bases.find(mb.ix, e.base); row != index.NoRow && mb.inodes.get(row) == 0 {
				mb.inodes.set(row, e.print)
			}
		}
		mb.mu.Unlock()
		batch, octets = batch[:0], octets[:0]
		pause := time.NewTimer(inodePause)
		defer pause.Stop()
		select {
		case <-ctx.Done():
		case <-pause.C:
		}
	}
	for _, p := range []maildir.Place{maildir.New, maildir.Cur} {
		err := mb.dir.Place(p).ReadDir(func(e disk.Entry) bool {
			n, err := maildir.ParseName(e.Name, mb.dir.Sep())
			if err != nil {
				return true
			}
			print := maildir.InodePrint(e.Ino)
			if !mb.askInode(p, string(e.Name), print) {
				return false
			}
			from := len(octets)
			octets = append(octets, n.Base...)
			batch = append(batch, entry{octets[from:len(octets):len(octets)], print})
			if len(batch) == cap(batch) {
				note()
			}
			return ctx.Err() == nil
		})
		if err != nil || ctx.Err() != nil {
			return // unknown inodes are a weaker proof, no error
		}
	}
	note()
}

// inodePause is how long readInodes rests after each batch of names.
const inodePause = 2 * time.Millisecond

// goneKeys are the messages whose file a scan did not see, by the hash of the
// key of their base, while the scan is followed.
type goneKeys struct {
	seed  maphash.Seed
	list  []goneKey              // by hash
	found map[index.Row]struct{} // have another base by now
}

type goneKey struct {
	hash uint64
	row  index.Row
}

// newGoneKeys is for rows of ix.
func newGoneKeys(ix *index.Index, rows []index.Row) *goneKeys {
	g := &goneKeys{seed: maphash.MakeSeed(), list: make([]goneKey, len(rows)), found: map[index.Row]struct{}{}}
	for i, row := range rows {
		g.list[i] = goneKey{maphash.Bytes(g.seed, keyOf(ix, row)), row}
	}
	slices.SortFunc(g.list, func(a, b goneKey) int { return cmp.Compare(a.hash, b.hash) })
	return g
}

func keyOf(ix *index.Index, row index.Row) []byte { return maildir.Key([]byte(ix.Base(row))) }

// rows calls each with the messages of key that were not found yet.
func (g *goneKeys) rows(ix *index.Index, key []byte, each func(index.Row)) {
	h := maphash.Bytes(g.seed, key)
	i, _ := slices.BinarySearchFunc(g.list, h, func(k goneKey, h uint64) int { return cmp.Compare(k.hash, h) })
	for ; i < len(g.list) && g.list[i].hash == h; i++ {
		row := g.list[i].row
		if _, found := g.found[row]; !found && string(keyOf(ix, row)) == string(key) {
			each(row)
		}
	}
}

// sameFile finds the message that info is, under another base (R13). It counts
// as found from then on.
func (mb *Mailbox) sameFile(n maildir.Name, info disk.Info) (index.Row, bool) {
	row, ok := mb.sameKey(maildir.Key(n.Base))
	if !ok || !mb.sameProof(row, info) {
		return index.NoRow, false
	}
	if exists, err := mb.fileExists(row); err != nil || exists {
		return index.NoRow, false // a second link, or a scan that has missed it
	}
	if g := mb.files.gone; g != nil {
		g.found[row] = struct{}{}
	}
	return row, true
}

// sameKey finds the one message with key whose name is gone.
func (mb *Mailbox) sameKey(key []byte) (index.Row, bool) {
	found, n := index.NoRow, 0
	mb.mu.Lock()
	defer mb.mu.Unlock()
	take := func(row index.Row) {
		if row != found && mb.live.Has(row) {
			found = row
			n++
		}
	}
	if mb.files.gone != nil {
		mb.files.gone.rows(mb.ix, key, take)
	}
	if len(mb.files.missing) <= lookAtMost {
		for row := range mb.files.missing {
			if string(keyOf(mb.ix, row)) == string(key) {
				take(row)
			}
		}
	}
	// Added since the listing was begun: what it does not show proves nothing.
	if end := index.Row(mb.live.rows); mb.files.scanning && end-mb.files.scanRows <= lookAtMost {
		for row := mb.files.scanRows; row < end; row++ {
			if string(keyOf(mb.ix, row)) == string(key) {
				take(row)
			}
		}
	}
	return found, n == 1
}

// sameProof compares what is known of the file of row with info.
func (mb *Mailbox) sameProof(row index.Row, info disk.Info) bool {
	mb.mu.Lock()
	print, ix := mb.inodes.get(row), mb.ix
	mb.mu.Unlock()
	switch {
	case print == 0:
		mb.fill.wantInodes()
	case print != maildir.InodePrint(info.Ino):
		return false
	}
	if id, ok := mb.fill.identity(row); ok {
		return id.matches(info)
	}
	d, size := ix.Date(row), ix.Size(row)
	return (!d.Known || d.Sec == info.Mtime.Unix()) && (size == index.UnknownSize || info.Size <= size)
}

// A fileID knows a file again under another name.
type fileID struct {
	id    disk.Identity
	size  int64
	mtime time.Time
}

func (id fileID) matches(info disk.Info) bool {
	return id.size == info.Size && (id.mtime.Equal(info.Mtime) || id.id == info.Identity)
}

// fileExists looks for the file of row under its name.
func (mb *Mailbox) fileExists(row index.Row) (bool, error) {
	ix := mb.index()
	n := ix.Name(row)
	_, err := mb.dir.Lstat(placeOf(n), mb.fileName(ix.Base(row), n))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}
