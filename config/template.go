package config

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"unicode/utf8"
)

// Vars are what the variables of a template stand for.
type Vars struct {
	User string // %u; %n is the part before the first "@" (or all), %d the part after it
	Home string // %h, of the users file; an absolute path or empty
}

// ErrTemplate is wrapped by errors of Expand: the name of the user or the home
// cannot be put into the path.
var ErrTemplate = errors.New("cannot expand template")

// maxPath is PATH_MAX without its NUL.
const maxPath = 4095

// Expand replaces the variables of template. Only the template is read for
// variables, never what is put in, so a user called "%h" is only that. It refuses
// whatever could lead out of the directory that the administrator meant: parts of
// the name that are empty, hold "/", a control character or invalid UTF-8, or
// start with "."; a home that is not an absolute path or has a ".." in it.
func Expand(template string, v Vars) (string, error) {
	local, domain, _ := strings.Cut(v.User, "@")
	var b strings.Builder
	for i := 0; i < len(template); i++ {
		if template[i] != '%' {
			b.WriteByte(template[i])
			continue
		}
		i++
		if i == len(template) {
			return "", fmt.Errorf("config: %w: %q ends with a single %%", ErrTemplate, template)
		}
		var value string
		var err error
		switch template[i] {
		case 'u':
			value, err = v.User, checkPart("user name", v.User)
		case 'n':
			value, err = local, checkPart("local part of the user name", local)
		case 'd':
			value, err = domain, checkPart("domain of the user name", domain)
		case 'h':
			value, err = v.Home, checkHome(v.Home)
		case '%':
			value = "%"
		default:
			err = fmt.Errorf("config: %w: unknown variable %%%c", ErrTemplate, template[i])
		}
		if err != nil {
			return "", err
		}
		b.WriteString(value)
		if b.Len() > maxPath {
			return "", fmt.Errorf("config: %w: the path is longer than %d bytes", ErrTemplate, maxPath)
		}
	}
	return filepath.Clean(b.String()), nil
}

func checkPart(what, s string) error {
	switch {
	case s == "":
		return fmt.Errorf("config: %w: the %s is empty", ErrTemplate, what)
	case s[0] == '.':
		return fmt.Errorf("config: %w: the %s %q starts with a dot", ErrTemplate, what, s)
	case strings.ContainsRune(s, '/'), hasControl(s):
		return fmt.Errorf("config: %w: the %s %q holds a character that no path may have", ErrTemplate, what, s)
	}
	return nil
}

func checkHome(home string) error {
	switch {
	case home == "":
		return fmt.Errorf("config: %w: the users file gives no home", ErrTemplate)
	case home[0] != '/', hasControl(home):
		return fmt.Errorf("config: %w: the home %q is not an absolute path", ErrTemplate, home)
	}
	for part := range strings.SplitSeq(home, "/") {
		if part == ".." {
			return fmt.Errorf("config: %w: the home %q has a \"..\"", ErrTemplate, home)
		}
	}
	return nil
}

func hasControl(s string) bool {
	if !utf8.ValidString(s) {
		return true
	}
	for _, r := range s {
		if r < ' ' || 0x7f <= r && r < 0xa0 {
			return true
		}
	}
	return false
}

// templateVars returns the variables in template, and an error for one that does
// not exist.
func templateVars(template string) (map[byte]bool, error) {
	vars := map[byte]bool{}
	for i := 0; i < len(template); i++ {
		if template[i] != '%' {
			continue
		}
		i++
		if i == len(template) {
			return nil, errors.New("it ends with a single %")
		}
		if !strings.ContainsRune("undh%", rune(template[i])) {
			return nil, fmt.Errorf("unknown variable %q", "%"+string(rune(template[i])))
		}
		vars[template[i]] = true
	}
	return vars, nil
}
