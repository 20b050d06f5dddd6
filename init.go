package main

import (
	"bufio"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"roost/config"
)

//go:embed config.toml.example
var exampleConfig string

// initOptions are the flags of `roost init`.
type initOptions struct {
	dir, user, mail, cert, key string
	imap, imaps, admin         string
	hosts                      []string
	runAs                      string
	passwordStdin, dryRun      bool
	quiet                      bool
	adminSet                   bool
}

func newInit() *cobra.Command {
	var o initOptions
	cmd := &cobra.Command{
		Use: "init", Short: "Write a configuration, a certificate, a user and a Maildir", Args: cobra.NoArgs,
		Long: "Write what a first start needs: config.toml, a users file with one user, a\nself-signed certificate (unless --cert and --key name one), and the user's\nMaildir if there is none. Nothing that exists is overwritten.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.adminSet = cmd.Flags().Changed("admin")
			return runInit(o, cmd.InOrStdin(), cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.dir, "dir", "/etc/roost", "where to write")
	f.StringVar(&o.user, "user", "", "name of the first user (asked for if not given)")
	f.BoolVar(&o.passwordStdin, "password-stdin", false, "read the password from standard input instead of asking")
	f.StringVar(&o.mail, "mail", "", "path of the Maildirs; %u user, %n local part, %d domain, %h home (default /var/mail/%u/Maildir)")
	f.StringVar(&o.cert, "cert", "", "certificate chain (PEM) to use")
	f.StringVar(&o.key, "key", "", "its private key (PEM)")
	f.StringSliceVar(&o.hosts, "host", nil, "names for the self-signed certificate (default this host's name)")
	f.StringVar(&o.imap, "imap", "", "address for IMAP with STARTTLS (default 127.0.0.1:143)")
	f.StringVar(&o.imaps, "imaps", "", "address for IMAP over TLS (default 0.0.0.0:993)")
	f.StringVar(&o.admin, "admin", "", "address for metrics; empty: off (default 127.0.0.1:9143)")
	f.StringVar(&o.runAs, "run-as", "", "user to become after binding the ports")
	f.BoolVar(&o.dryRun, "dry-run", false, "say what would be written and write nothing")
	f.BoolVarP(&o.quiet, "quiet", "q", false, "print only errors")
	return cmd
}

func runInit(o initOptions, in io.Reader, out io.Writer) error {
	if o.quiet {
		out = io.Discard
	}
	dir, err := filepath.Abs(o.dir)
	if err != nil {
		return err
	}
	o.dir = dir
	if (o.cert == "") != (o.key == "") {
		return errors.New("--cert and --key belong together: give both, or none for a self-signed certificate")
	}
	password, err := o.ask(in, out)
	if err != nil {
		return err
	}
	p, err := o.plan(password)
	if err != nil {
		return err
	}
	if err := p.check(); err != nil {
		return err
	}
	if o.dryRun {
		for _, f := range p.files {
			fmt.Fprintf(out, "would write %s\n", f.path)
		}
		for _, d := range p.dirs {
			fmt.Fprintf(out, "would make  %s\n", d)
		}
		return nil
	}
	if err := p.write(out); err != nil {
		return err
	}
	conf := filepath.Join(o.dir, "config.toml")
	fmt.Fprintf(out, "\nNext:\n  roost check --config %[1]s\n  roost serve --config %[1]s\n  roost user add NAME --config %[1]s    # more users\n", conf)
	return nil
}

// ask fills in what the flags left open and gives the password.
func (o *initOptions) ask(in io.Reader, out io.Writer) (string, error) {
	lines := bufio.NewReader(in)
	terminal := isTerminal(in) && !o.passwordStdin
	if o.user == "" {
		if !terminal {
			return "", errors.New("no user: give --user")
		}
		fmt.Fprint(out, "Name of the first user: ")
		line, err := lines.ReadString('\n')
		if err != nil {
			return "", fmt.Errorf("read user name: %w", err)
		}
		o.user = strings.TrimSpace(line)
	}
	if o.mail == "" {
		o.mail = config.Default().Mail.Path
		if terminal {
			fmt.Fprintf(out, "Path of the Maildirs, %%u is the user [%s]: ", o.mail)
			line, err := lines.ReadString('\n')
			if err != nil {
				return "", fmt.Errorf("read path: %w", err)
			}
			if line = strings.TrimSpace(line); line != "" {
				o.mail = line
			}
		}
	}
	if abs, err := filepath.Abs(o.mail); err == nil && !strings.HasPrefix(o.mail, "%") {
		o.mail = abs
	}
	return readPassword(in, lines, out, o.passwordStdin)
}

func isTerminal(in io.Reader) bool {
	f, ok := in.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// readPassword reads one line, or asks twice without echo on a terminal. lines
// reads from in.
func readPassword(in io.Reader, lines *bufio.Reader, out io.Writer, fromStdin bool) (string, error) {
	if fromStdin {
		line, err := lines.ReadString('\n')
		if err != nil && (line == "" || !errors.Is(err, io.EOF)) {
			return "", fmt.Errorf("read password from standard input: %w", err)
		}
		line = strings.TrimRight(line, "\r\n")
		if line == "" {
			return "", errors.New("the password is empty")
		}
		return line, nil
	}
	if !isTerminal(in) {
		return "", errors.New("standard input is no terminal: give --password-stdin")
	}
	fd := int(in.(*os.File).Fd())
	var typed [2]string
	for i, prompt := range []string{"Password: ", "Again: "} {
		fmt.Fprint(out, prompt)
		b, err := term.ReadPassword(fd)
		fmt.Fprintln(out)
		if err != nil {
			return "", fmt.Errorf("read password: %w", err)
		}
		typed[i] = string(b)
	}
	switch {
	case typed[0] == "":
		return "", errors.New("the password is empty")
	case typed[0] != typed[1]:
		return "", errors.New("the passwords differ")
	}
	return typed[0], nil
}

// An initPlan is what `roost init` is going to write.
type initPlan struct {
	files   []initFile
	dirs    []string // of the Maildir, parents first
	maildir string
	owner   *initOwner // of the users file; nil: who runs init
	mailOf  *initOwner // of a Maildir that is made; nil: who runs init
}

// initOwner is the user that roost becomes.
type initOwner struct{ uid, gid int }

// ownerOf is the user name of --run-as; nil if there is none.
func ownerOf(name string) (*initOwner, error) {
	if name == "" {
		return nil, nil
	}
	u, err := user.Lookup(name)
	if err != nil {
		return nil, fmt.Errorf("--run-as: %w", err)
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return nil, fmt.Errorf("--run-as: uid %q: %w", u.Uid, err)
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		return nil, fmt.Errorf("--run-as: gid %q: %w", u.Gid, err)
	}
	return &initOwner{uid, gid}, nil
}

type initFile struct {
	path string
	data []byte
	perm fs.FileMode
}

// plan works everything out before anything is written.
func (o *initOptions) plan(password string) (*initPlan, error) {
	users := filepath.Join(o.dir, "users")
	line, err := userLine(o.user, password)
	if err != nil {
		return nil, err
	}
	p := &initPlan{}
	if p.owner, err = ownerOf(o.runAs); err != nil {
		return nil, err
	}
	cert, key := o.cert, o.key
	if cert == "" {
		cert, key = filepath.Join(o.dir, "fullchain.pem"), filepath.Join(o.dir, "privkey.pem")
		hosts := o.hosts
		if len(hosts) == 0 {
			if h, err := os.Hostname(); err == nil && h != "" {
				hosts = append(hosts, h)
			}
			hosts = append(hosts, "localhost", "127.0.0.1", "::1")
		}
		certPEM, keyPEM, err := selfSigned(hosts, time.Now())
		if err != nil {
			return nil, err
		}
		p.files = append(p.files, initFile{cert, certPEM, 0o644}, initFile{key, keyPEM, 0o600})
	}
	if err := o.planMail(p); err != nil {
		return nil, err
	}
	text, err := o.configText(users, cert, key, p)
	if err != nil {
		return nil, err
	}
	conf := filepath.Join(o.dir, "config.toml")
	if _, problems := config.Parse([]byte(text), conf); problems.Err() != nil {
		return nil, fmt.Errorf("the configuration would not be valid:\n%w", problems.Err())
	}
	p.files = append(p.files, initFile{users, []byte(line), 0o600}, initFile{conf, []byte(text), 0o644})
	return p, nil
}

// planMail finds the first user's Maildir, or says what to make.
func (o *initOptions) planMail(p *initPlan) (err error) {
	if strings.Contains(o.mail, "%h") {
		return nil // the home is not known here
	}
	if p.maildir, err = config.Expand(o.mail, config.Vars{User: o.user}); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(p.maildir, "cur")); errors.Is(err, fs.ErrNotExist) {
		for dir := p.maildir; !exists(dir); dir = filepath.Dir(dir) {
			p.dirs = append(p.dirs, dir)
		}
		slices.Reverse(p.dirs)
		for _, sub := range []string{"cur", "new", "tmp"} {
			p.dirs = append(p.dirs, filepath.Join(p.maildir, sub))
		}
	}
	if p.mailOf = p.owner; os.Getuid() == 0 && (p.owner == nil || len(p.dirs) == 0) {
		p.mailOf = ownerAt(p.maildir)
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil || path == filepath.Dir(path)
}

// ownerAt is the owner of path, or of the nearest directory above it that
// exists: in a user's home, the user.
func ownerAt(path string) *initOwner {
	for {
		var st unix.Stat_t
		switch err := unix.Stat(path, &st); {
		case err == nil:
			return &initOwner{int(st.Uid), int(st.Gid)}
		case path == filepath.Dir(path):
			return nil
		}
		path = filepath.Dir(path)
	}
}

// configText is the commented example with this setup's values.
func (o *initOptions) configText(users, cert, key string, p *initPlan) (string, error) {
	control := "/run/roost/control.sock"
	if o.dir != "/etc/roost" {
		control = filepath.Join(o.dir, "control.sock")
	}
	sets := []struct{ section, key, value string }{
		{"server", "user", quoteTOML(o.runAs)},
		{"server", "control", quoteTOML(control)},
		{"tls", "cert", quoteTOML(cert)},
		{"tls", "key", quoteTOML(key)},
		{"mail", "path", quoteTOML(o.mail)},
		{"auth", "users", quoteTOML(users)},
	}
	if p.mailOf != nil && p.mailOf.uid == 0 { // a machine where root is all there is
		sets = append(sets, struct{ section, key, value string }{"limits", "min_uid", "0"})
	}
	if o.imap != "" {
		sets = append(sets, struct{ section, key, value string }{"listen", "imap", "[" + quoteTOML(o.imap) + "]"})
	}
	if o.imaps != "" {
		sets = append(sets, struct{ section, key, value string }{"listen", "imaps", "[" + quoteTOML(o.imaps) + "]"})
	}
	if o.adminSet {
		sets = append(sets, struct{ section, key, value string }{"listen", "admin", quoteTOML(o.admin)})
	}
	text := exampleConfig
	for _, s := range sets {
		var err error
		if text, err = setTOML(text, s.section, s.key, s.value); err != nil {
			return "", err
		}
	}
	return text, nil
}

func quoteTOML(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// setTOML replaces the value of key in [section] of text, and keeps comments.
func setTOML(text, section, key, value string) (string, error) {
	lines := strings.Split(text, "\n")
	in := ""
	for i, line := range lines {
		trimmed := strings.TrimSpace(line)
		if strings.HasPrefix(trimmed, "[") {
			in = strings.Trim(trimmed, "[]")
			continue
		}
		name, rest, ok := strings.Cut(trimmed, "=")
		if in != section || !ok || strings.TrimSpace(name) != key {
			continue
		}
		comment := ""
		if k := strings.Index(rest, " #"); k >= 0 && !strings.Contains(rest[k:], `"`) {
			comment = "  " + strings.TrimSpace(rest[k:])
		}
		lines[i] = key + " = " + value + comment
		return strings.Join(lines, "\n"), nil
	}
	return "", fmt.Errorf("the example configuration has no key %s.%s", section, key)
}

// check refuses to overwrite anything.
func (p *initPlan) check() error {
	var there []string
	for _, f := range p.files {
		if _, err := os.Lstat(f.path); err == nil {
			there = append(there, f.path)
		}
	}
	if len(there) > 0 {
		return fmt.Errorf("already there, and never overwritten: %s\nUse another --dir, or `roost user add` for one more user", strings.Join(there, ", "))
	}
	return nil
}

func (p *initPlan) write(out io.Writer) error {
	for _, f := range p.files {
		if err := os.MkdirAll(filepath.Dir(f.path), 0o755); err != nil {
			return err
		}
		if err := writeNew(f); err != nil {
			return err
		}
		fmt.Fprintf(out, "wrote %s\n", f.path)
	}
	for _, d := range p.dirs {
		if err := os.Mkdir(d, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	if err := p.giveAway(); err != nil {
		return err
	}
	if len(p.dirs) > 0 {
		fmt.Fprintf(out, "made  %s\n", p.maildir)
	} else if p.maildir != "" {
		fmt.Fprintf(out, "found %s, left as it is\n", p.maildir)
	}
	return nil
}

// giveAway makes the user that roost becomes the owner of the users file, and
// who owns the place, or that user, the owner of a Maildir that was made.
func (p *initPlan) giveAway() error {
	if os.Getuid() != 0 {
		return nil
	}
	give := func(path string, to *initOwner) error {
		if to == nil {
			return nil
		}
		return os.Lchown(path, to.uid, to.gid)
	}
	for _, f := range p.files {
		if filepath.Base(f.path) == "users" {
			if err := give(f.path, p.owner); err != nil {
				return err
			}
		}
	}
	for _, path := range p.dirs {
		if err := give(path, p.mailOf); err != nil {
			return err
		}
	}
	return nil
}

func writeNew(f initFile) error {
	w, err := os.OpenFile(f.path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, f.perm)
	if err != nil {
		return err
	}
	if _, err := w.Write(f.data); err != nil {
		w.Close()
		return err
	}
	if err := w.Sync(); err != nil {
		w.Close()
		return err
	}
	return w.Close()
}
