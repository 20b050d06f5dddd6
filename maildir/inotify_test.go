package maildir

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"roost/disk"
)

// rawEvent is a struct inotify_event with name, padded as the kernel does.
func rawEvent(id int32, mask uint32, name string) []byte {
	size := (len(name) + 16) / 16 * 16
	if name == "" {
		size = 0
	}
	b := binary.NativeEndian.AppendUint32(nil, uint32(id))
	b = binary.NativeEndian.AppendUint32(b, mask)
	b = binary.NativeEndian.AppendUint32(b, 0)
	b = binary.NativeEndian.AppendUint32(b, uint32(size))
	return append(append(b, name...), make([]byte, size-len(name))...)
}

// TestInotifyParse: events of a known watch are told, others are late; a lost
// watch ends; a full queue and a cut event break.
func TestInotifyParse(t *testing.T) {
	b, err := newInotify()
	must(t, err)
	in := b.(*inotify)
	defer in.Close()
	var got []string
	broken := 0
	in.tell = func(dir, name string, op EventOp) { got = append(got, fmt.Sprint(dir, " ", name, " ", op)) }
	in.broken = func(error) { broken++ }
	in.paths[7], in.ids["/a"] = "/a", 7
	in.hand(slices.Concat(
		rawEvent(7, unix.IN_MOVED_TO, "x"), rawEvent(9, unix.IN_CREATE, "late"), rawEvent(7, unix.IN_MOVED_FROM, "y:2,S"),
		rawEvent(7, unix.IN_MODIFY, "a name of more than sixteen"), rawEvent(7, unix.IN_DELETE, "z"),
		rawEvent(-1, unix.IN_Q_OVERFLOW, ""), rawEvent(7, unix.IN_DELETE_SELF, ""), rawEvent(7, unix.IN_IGNORED, ""),
	))
	want := []string{"/a x appear", "/a y:2,S moved away", "/a a name of more than sixteen written", "/a z removed", "/a  removed"}
	if !slices.Equal(got, want) || broken != 1 || in.lost != 1 || len(in.paths)+len(in.ids) != 0 {
		t.Errorf("events %q, %d broken, %d lost, %d paths", got, broken, in.lost, len(in.paths))
	}
	cut := rawEvent(7, unix.IN_CREATE, "x")
	in.hand(cut[:20])
	if broken != 2 || in.lost != 2 {
		t.Errorf("a cut event: %d broken, %d lost", broken, in.lost)
	}
}

func FuzzInotifyParse(f *testing.F) {
	f.Add(rawEvent(7, unix.IN_MOVED_TO, "x"))
	f.Add(rawEvent(-1, unix.IN_Q_OVERFLOW, ""))
	f.Fuzz(func(t *testing.T, b []byte) {
		in := &inotify{
			fd: -1, closed: make(chan struct{}), paths: map[int32]string{7: "/a"}, ids: map[string]int32{"/a": 7},
			tell: func(dir, name string, op EventOp) {
				if dir != "/a" || op == 0 {
					t.Errorf("%q %q %v", dir, name, op)
				}
			},
			broken: func(error) {},
		}
		in.hand(b)
	})
}

// TestFenceAfterClose: nothing can be said any more.
func TestFenceAfterClose(t *testing.T) {
	w := newWatcher(t, WatchOptions{})
	_, q := watchedBox(t, w, t.TempDir())
	must(t, w.Close())
	if err := w.Fence(context.Background()); !errors.Is(err, ErrFence) {
		t.Errorf("after close: %v", err)
	}
	if e := q.Take(nil); len(e) != 2 || e[0].Op != Lost || e[1].Op != Lost {
		t.Errorf("events %v", e)
	}
}

// TestCloseWhileBusy: Close ends beside events that are being read.
func TestCloseWhileBusy(t *testing.T) {
	at := t.TempDir()
	for range 50 {
		w := newWatcher(t, WatchOptions{})
		d, q := openBox(t, disk.OS(), at), NewQueue(10)
		must(t, w.Add(d.Place(Cur), "user", 1, q))
		stop, done := make(chan struct{}), make(chan struct{})
		go func() { // ends with stop
			defer close(done)
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				name := fmt.Sprintf("%s/cur/%d", at, i%7)
				if os.WriteFile(name, nil, 0o600) != nil || os.Remove(name) != nil {
					return
				}
			}
		}()
		<-q.Wake()
		must(t, w.Close())
		close(stop)
		<-done
	}
}
