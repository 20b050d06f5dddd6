package oracle

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// An image is a file system in a file, mounted.
type image struct{ file, at string }

func mount(args ...string) error {
	out, err := exec.Command("mount", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("mount: %w: %s", err, out)
	}
	return nil
}

func unmount(at string) error {
	var err error
	for range 50 {
		if err = syscall.Unmount(at, 0); !errors.Is(err, syscall.EBUSY) {
			break
		}
		rest(20 * time.Millisecond)
	}
	if errors.Is(err, syscall.EBUSY) {
		err = syscall.Unmount(at, syscall.MNT_DETACH)
	}
	if errors.Is(err, syscall.EINVAL) { // not mounted
		return nil
	}
	return err
}

// newImage makes and mounts an ext4 image.
func newImage(dir string, megabytes int) (*image, error) {
	i := &image{file: filepath.Join(dir, "disk.img"), at: filepath.Join(dir, "disk")}
	if err := os.MkdirAll(i.at, 0o700); err != nil {
		return nil, err
	}
	f, err := os.Create(i.file)
	if err != nil {
		return nil, err
	}
	err = f.Truncate(int64(megabytes) << 20)
	f.Close()
	if err != nil {
		return nil, err
	}
	if out, err := exec.Command("mkfs.ext4", "-q", "-F", i.file).CombinedOutput(); err != nil {
		return nil, skipped("mkfs.ext4", fmt.Errorf("%w: %s", err, out))
	}
	if err := mount("-o", "loop,commit=1", i.file, i.at); err != nil {
		return nil, skipped("loop devices", err)
	}
	return i, nil
}

// powerLoss runs the server on an ext4 image. At random moments under load the
// image is copied, octet by octet as the disk has it then, and the copy is
// mounted, which replays its journal, and held against the ledger of the moment
// when the copy began.
func powerLoss(r *Run) (string, error) {
	dir, err := r.home("power")
	if err != nil {
		return "", err
	}
	img, err := newImage(dir, 96)
	if err != nil {
		return "", err
	}
	defer unmount(img.at)
	s, err := NewServer(r.Binary, dir, filepath.Join(img.at, "mail"))
	if err != nil {
		return "", err
	}
	if err := syncAll(img.at); err != nil {
		return "", err
	}
	defer s.Stop(sigkill)
	l, err := NewLedger(filepath.Join(dir, "ledger"))
	if err != nil {
		return "", err
	}
	defer l.Close()
	boxes := []string{"INBOX", "A"}
	if err := s.Start(); err != nil {
		return "", err
	}
	if err := create(s, "A"); err != nil {
		return "", err
	}
	load := &Load{Server: s, Ledger: l, Boxes: boxes, Workers: 3, Most: 200}
	others := &Outside{Maildir: s.Maildir, Ledger: l, Durable: true, Pause: 40 * time.Millisecond}
	rng := rand.New(rand.NewPCG(r.Seed, 5))
	for round := 0; r.more(round, 6); round++ {
		if err := l.Verify(s, 6*time.Second, boxes...); err != nil {
			return "", fmt.Errorf("round %d: %w\n%s", round, err, last(s.Log(), 3000))
		}
		if len(l.Violations()) > 0 {
			break
		}
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 2)
		go func() { done <- load.Run(ctx, r.Seed+uint64(round)) }()
		go func() { others.Run(ctx, r.Seed+uint64(round)); done <- nil }()
		rest(time.Duration(200+rng.IntN(2500)) * time.Millisecond)
		// The world stops, as it does for the disk when the power fails: what
		// clients were told by now must be on it.
		others.gate.Lock()
		l.mu.Lock()
		err := s.lastMoment(func() error { return copyStill(img.file, img.file+".cut") })
		l.mu.Unlock()
		cancel()
		others.gate.Unlock()
		<-done
		<-done
		if err != nil {
			return "", err
		}
		if err := unmount(img.at); err != nil {
			return "", err
		}
		if err := os.Rename(img.file+".cut", img.file); err != nil {
			return "", err
		}
		if err := mount("-o", "loop,commit=1", img.file, img.at); err != nil {
			return "", fmt.Errorf("the copy of the disk: %w", err)
		}
		if err := s.Start(); err != nil {
			return "", err
		}
	}
	if err := l.Verify(s, 6*time.Second, boxes...); err != nil {
		return "", err
	}
	return fmt.Sprintf("%d cuts, %d acknowledged, %d removed", l.Rounds-1, l.Acked, l.Removed), errors.Join(outcome(s, l), s.ended())
}

// syncAll makes a file system durable.
func syncAll(at string) error {
	d, err := os.Open(at)
	if err != nil {
		return err
	}
	defer d.Close()
	syscall.Sync()
	return nil
}

// lastMoment stops the process, so that nothing of it moves while do runs, and
// then ends it: it must not answer anybody any more.
func (s *Server) lastMoment(do func() error) error {
	defer s.Stop(sigkill)
	if err := syscall.Kill(s.Pid(), syscall.SIGSTOP); err != nil {
		return err
	}
	return do()
}

// copyStill copies a file until it reads the same twice: the kernel goes on
// writing back, and a copy of two moments is no moment. Every octet is read:
// where a file system sees holes is no proof for blocks that are on their way.
func copyStill(from, to string) error {
	for range 40 {
		var sums [2][32]byte
		for i := range sums {
			var err error
			if sums[i], err = copyFile(from, to); err != nil {
				return fmt.Errorf("copy the disk: %w", err)
			}
		}
		if sums[0] == sums[1] {
			return nil
		}
	}
	return errors.New("the disk does not hold still")
}

// copyFile copies a file and leaves holes where there are zeroes.
func copyFile(from, to string) (sum [32]byte, err error) {
	in, err := os.Open(from)
	if err != nil {
		return sum, err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return sum, err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	h := sha256.New()
	block, zeroes := make([]byte, 64<<10), make([]byte, 64<<10)
	at := int64(0)
	for {
		n, err := io.ReadFull(in, block)
		h.Write(block[:n])
		if n > 0 && !bytes.Equal(block[:n], zeroes[:n]) {
			if _, err := out.WriteAt(block[:n], at); err != nil {
				return sum, err
			}
		}
		at += int64(n)
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return [32]byte(h.Sum(nil)), out.Truncate(at)
		}
		if err != nil {
			return sum, err
		}
	}
}
