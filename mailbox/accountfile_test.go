package mailbox

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"syscall"
	"testing"

	"roost/disk"
	"roost/disk/disktest"
	"roost/index"
)

func testID(n int) index.MailboxID {
	return index.MailboxID{byte(n), byte(n >> 8), 1}
}

func openTestAccountFile(t testing.TB, dir disk.Dir) *accountFile {
	t.Helper()
	af, err := openAccountFile(dir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return af
}

func testDir(t testing.TB, fsys disk.FS) disk.Dir {
	t.Helper()
	if err := fsys.MkdirRoot("/m", 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		t.Fatal(err)
	}
	dir, err := fsys.OpenRoot("/m")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// describe is the whole state as text.
func (s *accountState) describe() string {
	var b bytes.Buffer
	fmt.Fprintf(&b, "high %d floor %d\n", s.highWater, s.floor)
	for _, name := range slices.Sorted(maps.Keys(s.tombs)) {
		fmt.Fprintf(&b, "tomb %q %d\n", name, s.tombs[name])
	}
	for _, dir := range slices.Sorted(maps.Keys(s.byDir)) {
		fmt.Fprintf(&b, "mailbox %+v\n", *s.byDir[dir])
	}
	if len(s.byID) != len(s.byDir) {
		fmt.Fprintf(&b, "%d ids, %d directories\n", len(s.byID), len(s.byDir))
	}
	s.acls.each(func(id index.MailboxID, identifier string, r Rights) {
		fmt.Fprintf(&b, "rights %s %s %s\n", id, identifier, r)
	})
	fmt.Fprintf(&b, "unknown %q\n", s.unknown)
	return b.String()
}

func (af *accountFile) describe() string {
	var s string
	af.view(func(st *accountState) { s = st.describe() })
	return s
}

// someUpdate gives the records of a random change.
func someUpdate(rng *rand.Rand) []byte {
	var payload []byte
	for range 1 + rng.IntN(3) {
		dir := fmt.Sprintf(".box%d", rng.IntN(20))
		switch rng.IntN(7) {
		case 0:
			payload = append(payload, encodeForget(testID(rng.IntN(20)))...)
		case 1:
			payload = append(payload, encodeTombstone(dir, rng.Uint32())...)
		case 2:
			payload = append(payload, encodeHighWater(rng.Uint32(), 0)...)
		case 3:
			payload = append(payload, encodeACL(testID(rng.IntN(20)), fmt.Sprint("user", rng.IntN(3)), Rights(rng.IntN(int(AllRights)+1)))...)
		default:
			r := mailboxRecord{
				ID: testID(rng.IntN(20)), Dir: dir, UIDValidity: 1 + rng.Uint32()>>1,
				UIDNext: rng.Uint32(), ModSeq: rng.Uint64(), Renew: rng.IntN(5) == 0,
			}
			if rng.IntN(2) == 0 {
				r.Adopted = []byte("stamps")
			}
			if rng.IntN(3) == 0 {
				r.Uses = []string{`\Sent`, `\Drafts`}
			}
			if rng.IntN(10) == 0 {
				r.extra = new(recordBuilder).bytes(99, []byte("later")).b
			}
			payload = append(payload, encodeMailbox(&r)...)
		}
	}
	return payload
}

func always(payload []byte) func(*accountState) ([]byte, error) {
	return func(*accountState) ([]byte, error) { return payload, nil }
}

func TestAccountFileReopen(t *testing.T) {
	rng := rand.New(rand.NewPCG(uint64(1), 0))
	dir := testDir(t, disktest.NewMem())
	af := openTestAccountFile(t, dir)
	model := newAccountState()
	for i := range 3000 {
		payload := someUpdate(rng)
		if err := af.update(always(payload)); err != nil {
			t.Fatal(err)
		}
		if err := model.apply(payload); err != nil {
			t.Fatal(err)
		}
		if i%97 == 0 {
			if err := af.close(); err != nil {
				t.Fatal(err)
			}
			af = openTestAccountFile(t, dir)
		}
		if got, want := af.describe(), model.describe(); got != want {
			t.Fatalf("step %d: got\n%swant\n%s", i, got, want)
		}
	}
	info, err := dir.Lstat(accountFileName)
	if err != nil {
		t.Fatal(err)
	}
	if info.Size > 1<<20 || info.Mode.Perm() != 0o600 {
		t.Errorf("size %d mode %v: not compacted, or readable for others", info.Size, info.Mode)
	}
}

// unknown kinds and fields of a later minor version survive a compaction.
func TestAccountFileKeepsUnknown(t *testing.T) {
	dir := testDir(t, disktest.NewMem())
	af := openTestAccountFile(t, dir)
	payload := append(newRecord(77).bytes(5, []byte("what")).done(), someUpdate(rand.New(rand.NewPCG(uint64(3), 0)))...)
	if err := af.update(always(payload)); err != nil {
		t.Fatal(err)
	}
	want := af.describe()
	af.broken = true // rewrite
	if err := af.update(always(encodeHighWater(0, 0))); err != nil {
		t.Fatal(err)
	}
	af.close()
	if got := openTestAccountFile(t, dir).describe(); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

// accountFileImage writes n updates and gives the octets and the states after
// each, the empty one first.
func accountFileImage(t testing.TB, n int) (data []byte, states []string, ends []int64) {
	dir := testDir(t, disktest.NewMem())
	af := openTestAccountFile(t, dir)
	rng := rand.New(rand.NewPCG(uint64(7), 0))
	for range n {
		if err := af.update(always(someUpdate(rng))); err != nil {
			t.Fatal(err)
		}
		states, ends = append(states, af.describe()), append(ends, af.end)
	}
	f, err := dir.Open(accountFileName)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if data, err = io.ReadAll(f); err != nil {
		t.Fatal(err)
	}
	return data[:af.end+40], states, ends // with some of the zeroes
}

func writeAccountFile(t testing.TB, data []byte) disk.Dir {
	t.Helper()
	dir := testDir(t, disktest.NewMem())
	f, err := dir.OpenFile(accountFileName, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(data, 0); err != nil {
		t.Fatal(err)
	}
	f.Close()
	return dir
}

func TestAccountFileCut(t *testing.T) {
	data, states, ends := accountFileImage(t, 12)
	for n := accountFrames; n <= len(data); n++ {
		want := ""
		for i, end := range ends {
			if int64(n) >= end {
				want = states[i]
			}
		}
		af := openTestAccountFile(t, writeAccountFile(t, data[:n]))
		if want != "" && af.describe() != want {
			t.Fatalf("cut at %d: got\n%swant\n%s", n, af.describe(), want)
		}
		if err := af.update(always(encodeHighWater(4000000000, 0))); err != nil {
			t.Fatalf("cut at %d: %v", n, err)
		}
	}
}

// A flipped octet costs at most the frame it is in.
func TestAccountFileDamage(t *testing.T) {
	data, _, ends := accountFileImage(t, 12)
	for n := range data {
		bad := bytes.Clone(data)
		bad[n] ^= 0x41
		dir := writeAccountFile(t, bad)
		af := openTestAccountFile(t, dir)
		if n < accountFrames {
			if got, want := af.state.describe(), openTestAccountFile(t, writeAccountFile(t, data)).describe(); got != want {
				t.Fatalf("octet %d of the headers: got\n%swant\n%s", n, got, want)
			}
			continue
		}
		hit := slices.IndexFunc(ends, func(end int64) bool { return int64(n) < end })
		last := hit == len(ends)-1
		if hit < 0 { // in the zeroes: a torn write
			if af.seq != 13 || af.broken {
				t.Fatalf("octet %d: behind the end: sequence number %d, broken %v", n, af.seq, af.broken)
			}
			continue
		}
		if af.seq < 12 && !last {
			t.Fatalf("octet %d: frames behind the damage are lost: sequence number %d", n, af.seq)
		}
		if !last && !af.broken {
			t.Fatalf("octet %d: damage not noticed", n)
		}
		if err := af.update(always(encodeHighWater(4000000000, 0))); err != nil {
			t.Fatalf("octet %d: %v", n, err)
		}
		want := af.describe()
		af.close()
		if again := openTestAccountFile(t, dir); again.describe() != want || again.broken {
			t.Fatalf("octet %d: not repaired", n)
		}
	}
}

func TestAccountFileBothHeadersGone(t *testing.T) {
	data, _, _ := accountFileImage(t, 3)
	clear(data[:accountFrames])
	dir := writeAccountFile(t, data)
	af := openTestAccountFile(t, dir)
	if err := af.update(always(encodeHighWater(5, 0))); err != nil {
		t.Fatal(err)
	}
	if _, err := dir.Lstat(accountFileName + ".damaged"); err != nil {
		t.Errorf("the unreadable file was not kept: %v", err)
	}
}

func TestAccountFileNewerVersion(t *testing.T) {
	data, _, _ := accountFileImage(t, 1)
	h := encodeAccountHeader(1)
	h[12] = 2
	fixed := appendCRC(h[:24])
	copy(data, fixed)
	copy(data[accountHeader2:], fixed)
	dir := writeAccountFile(t, data)
	if _, err := openAccountFile(dir, slog.New(slog.DiscardHandler)); !errors.Is(err, errAccountVersion) {
		t.Errorf("got %v", err)
	}
	f, _ := dir.Open(accountFileName)
	if now, _ := io.ReadAll(f); !bytes.Equal(now, data) {
		t.Error("a file of a newer version was touched")
	}
}

// What update has acknowledged is there after a crash; what it refused changes
// nothing.
func TestAccountFileFaults(t *testing.T) {
	for nth := 1; nth < 60; nth++ {
		mem := disktest.NewMem()
		fsys := disktest.Wrap(mem)
		dir := testDir(t, fsys)
		af := openTestAccountFile(t, dir)
		model := newAccountState()
		rng := rand.New(rand.NewPCG(uint64(nth), 0))
		errno := []error{syscall.ENOSPC, syscall.EIO}[nth%2]
		fsys.Fail(disktest.Rule{Nth: nth, Err: errno, Short: nth%3 == 0})
		failed := false
		for range 20 {
			payload := someUpdate(rng)
			err := af.update(always(payload))
			if err != nil {
				failed = true
				if errno == syscall.ENOSPC && !errors.Is(err, ErrOverQuota) {
					t.Fatalf("call %d: %v", nth, err)
				}
				continue
			}
			if err := model.apply(payload); err != nil {
				t.Fatal(err)
			}
			if got, want := af.describe(), model.describe(); got != want {
				t.Fatalf("call %d: got\n%swant\n%s", nth, got, want)
			}
		}
		if !failed && nth < 20 {
			t.Fatalf("call %d: no error was seen", nth)
		}
		fsys.Clear()
		mem.Crash(rng, disktest.Survival(nth%3))
		if got, want := openTestAccountFile(t, testDir(t, mem)).describe(), model.describe(); got != want {
			t.Fatalf("call %d, after a crash: got\n%swant\n%s", nth, got, want)
		}
	}
}

func TestTombstonesAreBounded(t *testing.T) {
	s := newAccountState()
	for i := range 3 * maxTombstones {
		s.bury(fmt.Sprintf(".deleted%d", i), uint32(i+1))
	}
	if len(s.tombs) > maxTombstones {
		t.Fatalf("%d tombstones", len(s.tombs))
	}
	for i := range 3 * maxTombstones {
		if v := s.used(fmt.Sprintf(".deleted%d", i)); v < uint32(i+1) {
			t.Fatalf("name %d: %d is said to be unused", i, i+1)
		}
	}
}

func FuzzAccountFile(f *testing.F) {
	data, _, _ := accountFileImage(f, 4)
	f.Add(data[accountFrames:], uint64(0))
	f.Add(encodeMailbox(&mailboxRecord{ID: testID(1), UIDValidity: 1, Uses: []string{"x"}}), uint64(1))
	f.Fuzz(func(t *testing.T, tail []byte, seed uint64) {
		// As a file, and as a payload whose CRC holds.
		whole := append(make([]byte, accountFrames), tail...)
		copy(whole, encodeAccountHeader(seed))
		parseAccountFrames(whole, seed, newAccountState())
		s := newAccountState()
		if s.apply(tail) != nil {
			return
		}
		again := newAccountState()
		for _, p := range s.all(100) {
			if err := again.apply(p); err != nil {
				t.Fatal(err)
			}
		}
		if got, want := again.describe(), s.describe(); got != want {
			t.Fatalf("written anew: got\n%swant\n%s", got, want)
		}
	})
}

func appendCRC(b []byte) []byte {
	h := bytes.Clone(b)
	return binary.LittleEndian.AppendUint32(h, crc32.Checksum(h, crcTable))
}
