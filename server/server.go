package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"roost/auth"
	"roost/config"
	"roost/disk"
	"roost/mailbox"
	"roost/maildir"
	"roost/session"
)

// drainTime is what running commands get to finish after SIGTERM.
const drainTime = 10 * time.Second

// errKilled is why Run ends at a second SIGTERM.
var errKilled = errors.New("server: ended by a second signal; running commands were cut off")

// Options are what Run needs.
type Options struct {
	Config     *config.Config
	ConfigPath string // read again at SIGHUP
	Version    string
	Log        *slog.Logger
}

// process is a running server.
type process struct {
	o       Options
	log     *slog.Logger
	started time.Time

	cfg       atomic.Pointer[config.Config]
	certs     atomic.Pointer[certStore] // nil: no TLS
	users     atomic.Pointer[auth.Service]
	watcher   *maildir.Watcher // nil: poll
	store     *mailbox.Store
	counters  *mailbox.Counters
	sessions  *session.Server
	reg       *registry
	acceptor  *acceptor
	listeners []listener
	draining  atomic.Bool
	starts    []func() // what serves once everything is there

	reloadMu sync.Mutex // one reload at a time
}

// Run serves until SIGTERM or SIGINT (or ctx ends) and gives nil once all that
// ran was finished.
func Run(ctx context.Context, o Options) error {
	p := &process{o: o, log: o.Log, started: time.Now(), counters: &mailbox.Counters{}}
	p.cfg.Store(o.Config)
	closers, err := p.open()
	defer func() {
		for i := len(closers) - 1; i >= 0; i-- {
			closers[i]()
		}
	}()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// Before anyone is greeted: from then on a signal ends it in an orderly way.
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	defer signal.Stop(signals)
	for _, start := range p.starts {
		go start() // ends with its closer
	}
	for _, l := range p.listeners {
		go p.acceptor.accept(ctx, l) // ends when l is closed
		p.log.Info("listening", "addr", l.Addr().String(), "tls", l.tls)
	}
	p.log.Info("roost is ready", "version", o.Version, "pid", os.Getpid())
	return p.wait(ctx, cancel, signals)
}

// open makes everything; what it gives closes that again, in reverse order,
// also beside an error.
func (p *process) open() (closers []func(), err error) {
	cfg := p.o.Config
	if cfg.TLS.Set() {
		certs, err := newCertStore(cfg.TLS.Cert, cfg.TLS.Key, p.log, time.Now)
		if err != nil {
			return closers, fmt.Errorf("%w; name a certificate and key in [tls], or make some with roost init", err)
		}
		p.certs.Store(certs)
	}
	if p.listeners, err = listenAll(cfg); err != nil {
		return closers, fmt.Errorf("%w; is another server running?", err)
	}
	closers = append(closers, p.closeListeners)
	if len(p.listeners) == 0 {
		return closers, errors.New("server: nothing to listen on: set [listen] imap, or imaps and [tls]")
	}
	stop, err := p.openControl(cfg)
	closers = append(closers, stop)
	if err != nil {
		return closers, err
	}
	stop, err = p.openAdmin(cfg)
	closers = append(closers, stop)
	if err != nil {
		return closers, err
	}
	if err := p.dropPrivileges(cfg); err != nil {
		return closers, err
	}
	debug.SetMemoryLimit(2 * int64(cfg.Limits.Memory))
	stop, err = p.openMail(cfg)
	return append(closers, stop), err
}

// dropPrivileges becomes the user of the configuration, if it names one.
func (p *process) dropPrivileges(cfg *config.Config) error {
	if cfg.Server.User == "" {
		if os.Getuid() == 0 {
			p.log.Warn("running as root; files are given to the owner of their directory. Set [server] user to become that user instead")
		}
		return nil
	}
	id, err := lookUpUser(cfg.Server.User)
	if err != nil {
		return err
	}
	if cfg.Server.Control != "" && os.Getuid() == 0 {
		if err := os.Chown(cfg.Server.Control, id.uid, id.gid); err != nil {
			return fmt.Errorf("server: give control socket to %s: %w", cfg.Server.User, err)
		}
	}
	return become(id)
}

// openMail makes users, watcher, store and sessions.
func (p *process) openMail(cfg *config.Config) (stop func(), err error) {
	stop = func() {}
	users, err := newUsers(cfg, p.log)
	if err != nil {
		return stop, err
	}
	p.users.Store(users)
	if cfg.Mail.Watch != "poll" {
		if p.watcher, err = maildir.NewWatcher(maildir.WatchOptions{FS: disk.OS(), TempDir: fenceDir(cfg)}); err != nil {
			if cfg.Mail.Watch == "inotify" {
				return stop, fmt.Errorf("server: %w; raise fs.inotify.max_user_instances, or set [mail] watch = \"poll\"", err)
			}
			p.log.Warn("no inotify: new mail is looked for every 30 s; raise fs.inotify.max_user_instances", "err", err)
		}
	}
	stop = func() {
		if p.watcher != nil {
			p.watcher.Close()
		}
	}
	fsys := disk.OS()
	if os.Getuid() == 0 {
		fsys = disk.OS(disk.GiveToOwner())
	}
	options := storeOptions(cfg, fsys, p.watcher, p.counters, p.log)
	options.Shared = p.sharedOptions(cfg)
	p.store, err = mailbox.NewStore(options)
	if err != nil {
		return stop, err
	}
	stop = func() {
		if err := p.store.Close(); err != nil {
			p.log.Error("closing mail", "err", err)
		}
		if p.watcher != nil {
			p.watcher.Close()
		}
	}
	p.reg = newRegistry(cfg.Limits.ConnectionLimits, time.Now)
	p.sessions = session.NewServer(p.sessionOptions(cfg))
	p.acceptor = &acceptor{reg: p.reg, log: p.log, srv: p.sessions}
	return stop, nil
}

// fenceDir is where the watcher gets a private directory: the system's
// temporary one, or beside the control socket where there is none (an empty
// root directory).
func fenceDir(cfg *config.Config) string {
	if _, err := os.Stat(os.TempDir()); err != nil && cfg.Server.Control != "" {
		return filepath.Dir(cfg.Server.Control)
	}
	return ""
}

func storeOptions(cfg *config.Config, fsys disk.FS, w *maildir.Watcher, c *mailbox.Counters, log *slog.Logger) mailbox.Options {
	create := map[string]mailbox.Create{"parent": mailbox.CreateParent, "always": mailbox.CreateAlways, "never": mailbox.CreateNever}
	fsync := map[string]mailbox.Fsync{"always": mailbox.FsyncAlways, "messages": mailbox.FsyncMessages, "never": mailbox.FsyncNever}
	o := mailbox.Options{
		FS: fsys, Log: log, Watcher: w, Counters: c,
		Layout: cfg.Mail.Layout, Separator: cfg.Mail.Separator[0], Prefix: cfg.Mail.Prefix, Escape: cfg.Mail.Escape,
		Create: create[cfg.Mail.Create], SpecialUse: cfg.Mail.SpecialUse,
		Autocreate: cfg.Mail.Autocreate, Autosubscribe: cfg.Mail.Autosubscribe,
		KeepNew: cfg.Mail.KeepNew, Fsync: fsync[cfg.Mail.Fsync], Memory: int64(cfg.Limits.Memory),
		MinOwner: uint32(cfg.Limits.MinUID), Poll: cfg.Limits.Poll.D(),
		Metadata: mailbox.MetadataLimits{
			Value: int64(cfg.Limits.MetadataValue), Entries: cfg.Limits.MetadataEntries,
			Mailbox: int64(cfg.Limits.MetadataMailbox), Account: int64(cfg.Limits.MetadataAccount),
		},
	}
	var lim unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &lim) == nil {
		o.Descriptors = int(min(lim.Cur, 1<<20))
	}
	return o
}

func (p *process) closeListeners() {
	for _, l := range p.listeners {
		l.Close()
	}
}

// wait handles signals until it is time to end.
func (p *process) wait(ctx context.Context, cancel context.CancelFunc, signals <-chan os.Signal) error {
	for {
		select {
		case <-ctx.Done():
			return p.drain(cancel, signals)
		case sig := <-signals:
			if sig != syscall.SIGHUP {
				p.log.Info("ending", "signal", sig.String())
				return p.drain(cancel, signals)
			}
			if err := p.reload(); err != nil {
				p.log.Error("the configuration was not taken; the old one stays", "err", err)
			}
		}
	}
}

// drain stops listening, lets running commands finish and idle sessions say
// BYE. A second signal ends at once.
func (p *process) drain(cancel context.CancelFunc, signals <-chan os.Signal) error {
	p.draining.Store(true)
	p.closeListeners()
	p.sessions.Drain()
	done := make(chan struct{})
	go func() { // ends with the sessions, which cancel and closeAll end at last
		p.acceptor.sessions.Wait()
		close(done)
	}()
	grace := time.NewTimer(drainTime)
	defer grace.Stop()
	for {
		select {
		case <-done:
			p.log.Info("ended")
			return nil
		case <-grace.C:
			p.log.Warn("commands still run; their connections are closed", "connections", p.reg.snapshot().Connections)
			cancel()
			p.reg.closeAll()
			select {
			case <-done:
			case <-time.After(time.Second):
			}
			return nil
		case sig := <-signals:
			if sig == syscall.SIGHUP {
				continue
			}
			return errKilled
		}
	}
}

// reload reads the configuration again and takes over all but [listen] and
// what only a start can set; a broken one changes nothing.
func (p *process) reload() error {
	p.reloadMu.Lock()
	defer p.reloadMu.Unlock()
	cfg, problems := config.Load(p.o.ConfigPath)
	for _, w := range problems.Warnings() {
		p.log.Warn("configuration", "problem", w.String())
	}
	if cfg == nil {
		return problems.Err()
	}
	old := p.cfg.Load()
	if cfg.TLS.Set() {
		if certs := p.certs.Load(); certs != nil && cfg.TLS == old.TLS {
			if err := certs.reload(); err != nil {
				return err
			}
		} else {
			certs, err := newCertStore(cfg.TLS.Cert, cfg.TLS.Key, p.log, time.Now)
			if err != nil {
				return err
			}
			p.certs.Store(certs)
		}
	} else {
		p.certs.Store(nil)
	}
	for _, k := range needsRestart(old, cfg) {
		p.log.Warn("this change needs a restart", "key", k)
	}
	p.reg.setLimits(cfg.Limits.ConnectionLimits)
	if err := p.reloadUsers(cfg); err != nil {
		return err
	}
	p.cfg.Store(cfg)
	p.sessions.SetOptions(p.sessionOptions(cfg))
	p.log.Info("configuration read again", "file", p.o.ConfigPath)
	return nil
}

// needsRestart names what changed and is read at a start only.
func needsRestart(old, cfg *config.Config) []string {
	var keys []string
	if fmt.Sprint(old.Listen) != fmt.Sprint(cfg.Listen) {
		keys = append(keys, "listen")
	}
	if old.Server != cfg.Server {
		keys = append(keys, "server")
	}
	mail, was := cfg.Mail, old.Mail
	mail.Path, was.Path, mail.Index, was.Index = "", "", "", ""
	if fmt.Sprint(mail) != fmt.Sprint(was) {
		keys = append(keys, "mail")
	}
	if old.Shared != cfg.Shared {
		keys = append(keys, "shared")
	}
	if old.Log != cfg.Log {
		keys = append(keys, "log")
	}
	for _, k := range []struct {
		key string
		of  func(*config.Limits) any
	}{
		{"limits.memory", func(l *config.Limits) any { return l.Memory }},
		{"limits.min_uid", func(l *config.Limits) any { return l.MinUID }},
		{"limits.poll", func(l *config.Limits) any { return l.Poll }},
		{"limits.metadata_*", func(l *config.Limits) any {
			return [...]any{l.MetadataValue, l.MetadataEntries, l.MetadataMailbox, l.MetadataAccount}
		}},
	} {
		if k.of(&old.Limits) != k.of(&cfg.Limits) {
			keys = append(keys, k.key)
		}
	}
	return keys
}

// status is what the control socket tells.
func (p *process) status() Status {
	s := Status{Version: p.o.Version, PID: os.Getpid(), Started: p.started, Draining: p.draining.Load()}
	for _, l := range p.listeners {
		s.Listen = append(s.Listen, l.Addr().String())
	}
	snap := p.reg.snapshot()
	s.Connections, s.Unauthenticated, s.Users, s.Refused = snap.Connections, snap.Unauthenticated, snap.Users, snap.Refused
	if certs := p.certs.Load(); certs != nil {
		s.CertificateExpires = certs.expires()
	}
	return s
}

// openControl serves the control socket.
func (p *process) openControl(cfg *config.Config) (stop func(), err error) {
	if cfg.Server.Control == "" {
		return func() {}, nil
	}
	l, err := listenControl(cfg.Server.Control)
	if err != nil {
		return func() {}, fmt.Errorf("%w; set [server] control to a path that can be made, or to \"\"", err)
	}
	c := newControl(cfg.Server.Control, p.status, p.reload, p.log, p.mailControl)
	p.starts = append(p.starts, func() { c.serve(l) })
	return func() { l.Close(); c.close() }, nil
}
