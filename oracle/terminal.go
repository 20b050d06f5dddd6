package oracle

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
	"unsafe"
)

// onTerminal runs a program on a terminal of its own that nobody looks at, for
// at most limit. It gives the end of what was drawn.
func onTerminal(ctx context.Context, limit time.Duration, env []string, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		return "", skipped("terminals", err)
	}
	defer master.Close()
	var number, unlocked uint32
	for _, call := range []struct {
		request uintptr
		at      *uint32
	}{{syscall.TIOCSPTLCK, &unlocked}, {syscall.TIOCGPTN, &number}} {
		conn, err := master.SyscallConn()
		if err != nil {
			return "", err
		}
		var errno syscall.Errno
		err = conn.Control(func(fd uintptr) {
			_, _, errno = syscall.Syscall(syscall.SYS_IOCTL, fd, call.request, uintptr(unsafe.Pointer(call.at)))
		})
		if err != nil || errno != 0 {
			return "", skipped("terminals", fmt.Errorf("ioctl: %w %w", err, errno))
		}
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		return "", skipped("terminals", err)
	}
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), append([]string{"TERM=xterm", "LINES=24", "COLUMNS=80"}, env...)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	err = cmd.Start()
	slave.Close()
	if err != nil {
		return "", err
	}
	var drawn logBuffer
	read := make(chan struct{})
	go func() { // ends when nobody has the terminal any more
		defer close(read)
		buf := make([]byte, 4096)
		for {
			n, err := master.Read(buf)
			drawn.Write(buf[:n])
			if err != nil {
				return
			}
		}
	}()
	err = cmd.Wait()
	master.Close()
	<-read
	return last(drawn.String(), 500), err
}
