// Command scale measures what roost promises about size: one mailbox of a
// million messages, one user with ten thousand mailboxes, two thousand users at
// once. It makes them below -dir, works on them with the code of the server but
// without the network, prints figures, counts of calls to the file system
// included, and removes everything. It fails if a budget of the design is
// missed.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime/pprof"
	"syscall"

	"roost/disk"
	"roost/disk/disktest"
	"roost/mailbox"
	"roost/maildir"
)

func main() {
	o := options{}
	flag.IntVar(&o.messages, "messages", 1_000_000, "messages of the large mailbox; 0: leave that part out")
	flag.IntVar(&o.mailboxes, "mailboxes", 10_000, "mailboxes of one user; 0: leave that part out")
	flag.IntVar(&o.users, "users", 2_000, "users at once; 0: leave that part out")
	flag.StringVar(&o.dir, "dir", os.TempDir(), "where to work")
	flag.StringVar(&o.profile, "cpuprofile", "", "write a profile of the work to this file")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "scale:", err)
		os.Exit(1)
	}
}

type options struct {
	messages, mailboxes, users int
	dir, profile               string
}

func run(ctx context.Context, o options) (err error) {
	if err := room(o); err != nil {
		return err
	}
	var lim syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &lim) == nil {
		lim.Cur = lim.Max
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &lim); err != nil {
			return fmt.Errorf("raise the limit of open files: %w", err)
		}
	}
	home, err := os.MkdirTemp(o.dir, "roost-scale-")
	if err != nil {
		return err
	}
	defer func() {
		if rerr := os.RemoveAll(home); err == nil {
			err = rerr
		}
	}()
	if o.profile != "" {
		f, err := os.Create(o.profile)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	r := &report{}
	for _, part := range []struct {
		n   int
		run func(context.Context, *report, string, options) error
	}{{o.messages, largeMailbox}, {o.mailboxes, manyMailboxes}, {o.users, manyUsers}} {
		if part.n > 0 {
			if err := part.run(ctx, r, home, o); err != nil {
				return err
			}
		}
	}
	return r.result()
}

// room checks that the disk can hold what is made: a directory entry, an inode
// and a block a file at most.
func room(o options) error {
	var st syscall.Statfs_t
	if err := syscall.Statfs(o.dir, &st); err != nil {
		return fmt.Errorf("look at %s: %w", o.dir, err)
	}
	files := uint64(o.messages/linksPerFile + 5*o.mailboxes + o.users*(usersMessages+6) + 1000)
	octets := uint64(o.messages)*300 + files*4096
	if free := st.Bavail * uint64(st.Bsize); free < 2*octets {
		return fmt.Errorf("%s has %d MiB free, and %d are wanted", o.dir, free>>20, 2*octets>>20)
	}
	if st.Files > 0 && st.Ffree < 2*files {
		return fmt.Errorf("%s has %d inodes free, and %d are wanted", o.dir, st.Ffree, 2*files)
	}
	return nil
}

// A world is a server's mail without the server.
type world struct {
	fs      *disktest.Recorder
	watcher *maildir.Watcher
	store   *mailbox.Store
	count   mailbox.Counters
}

func newWorld(memory int64) (*world, error) {
	w := &world{fs: disktest.Wrap(disk.OS())}
	var err error
	if w.watcher, err = maildir.NewWatcher(maildir.WatchOptions{FS: disk.OS()}); err != nil {
		return nil, err
	}
	var lim syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &lim); err != nil {
		return nil, err
	}
	w.store, err = mailbox.NewStore(mailbox.Options{
		FS: w.fs, Watcher: w.watcher, Counters: &w.count, Memory: memory, Descriptors: int(min(lim.Cur, 1<<20)), Escape: "%",
	})
	return w, err
}

func (w *world) close() error {
	err := w.store.Close()
	if werr := w.watcher.Close(); err == nil {
		err = werr
	}
	return err
}
