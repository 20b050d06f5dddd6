package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"roost/config"
)

func newCheck(path func() string) *cobra.Command {
	return &cobra.Command{
		Use: "check", Short: "Name every problem of the configuration", Args: cobra.NoArgs,
		Long: "Read the configuration and what it refers to, and name every problem at once,\neach with its line and what to do. Exits with 1 if one of them is an error.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runCheck(path(), cmd.OutOrStdout())
		},
	}
}

func runCheck(path string, out io.Writer) error {
	cfg, problems := config.Load(path)
	failed := cfg == nil
	for _, p := range problems {
		fmt.Fprintln(out, p)
	}
	if cfg != nil {
		for _, f := range []func(*config.Config) []finding{checkTLS, checkUsers, checkMail} {
			for _, p := range f(cfg) {
				fmt.Fprintf(out, "%s: %s\n", path, p)
				failed = failed || !p.warning
			}
		}
	}
	if failed {
		return errSilent
	}
	fmt.Fprintf(out, "%s: good\n", path)
	return nil
}

// A finding is a problem of what the configuration refers to.
type finding struct {
	warning           bool
	key, text, remedy string
}

func (f finding) String() string {
	kind := "error"
	if f.warning {
		kind = "warning"
	}
	return fmt.Sprintf("%s: %s: %s; %s", kind, f.key, f.text, f.remedy)
}

func checkTLS(cfg *config.Config) []finding {
	if !cfg.TLS.Set() {
		return nil // config has said what follows from that
	}
	pair, err := tls.LoadX509KeyPair(cfg.TLS.Cert, cfg.TLS.Key)
	if err != nil {
		return []finding{{key: "tls.cert", text: err.Error(), remedy: "name a PEM chain and its key that this user can read; `roost init` makes a self-signed one"}}
	}
	leaf := pair.Leaf
	if leaf == nil {
		if leaf, err = x509.ParseCertificate(pair.Certificate[0]); err != nil {
			return []finding{{key: "tls.cert", text: err.Error(), remedy: "name a valid certificate"}}
		}
	}
	var out []finding
	switch until := time.Until(leaf.NotAfter); {
	case until < 0:
		out = append(out, finding{key: "tls.cert", text: "the certificate ended on " + leaf.NotAfter.Format("2006-01-02"), remedy: "renew it; it is read again without a restart"})
	case until < 14*24*time.Hour:
		out = append(out, finding{warning: true, key: "tls.cert", text: "the certificate ends on " + leaf.NotAfter.Format("2006-01-02"), remedy: "renew it; it is read again without a restart"})
	}
	if fi, err := os.Stat(cfg.TLS.Key); err == nil && fi.Mode().Perm()&0o007 != 0 {
		out = append(out, finding{warning: true, key: "tls.key", text: "everybody can read the private key", remedy: "chmod o= " + cfg.TLS.Key})
	}
	return out
}
