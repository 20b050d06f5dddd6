// Command roost is an IMAP server for the Maildir that you already have.
package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"github.com/spf13/cobra"
)

// version is stamped by the Makefile.
var version = "unknown"

// defaultConfigs are looked for in this order when --config is not given.
var defaultConfigs = []string{"/etc/roost/config.toml", "config.toml"}

// errSilent ends with exit code 1; the command has said why.
var errSilent = errors.New("failed")

func main() {
	if err := newRoot().Execute(); err != nil {
		if !errors.Is(err, errSilent) {
			fmt.Fprintln(os.Stderr, "roost:", err)
		}
		os.Exit(1)
	}
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "roost",
		Short:         "The IMAP server for a Maildir you already have",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.NoArgs,
	}
	var conf string
	root.PersistentFlags().StringVar(&conf, "config", "", "configuration file (default /etc/roost/config.toml, then ./config.toml)")
	path := func() string { return configPath(conf) }
	root.AddCommand(newServe(path), newInit(), newCheck(path), newUser(path), newAdopt(path), newExport(path), newFsck(path), newDump(path), newExplain(path), newStatus(path), newVersion())
	return root
}

// configPath is the configuration file to use: the one given, else the first
// default that exists, else the first default (so that the error names it).
func configPath(given string) string {
	if given != "" {
		return given
	}
	for _, p := range defaultConfigs {
		if _, err := os.Stat(p); err == nil {
			return p
		}
	}
	return defaultConfigs[0]
}

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		Run: func(cmd *cobra.Command, _ []string) {
			fmt.Fprintf(cmd.OutOrStdout(), "roost %s (%s, %s/%s)\n", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
		},
	}
}
