package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"roost/config"
	"roost/server"
)

func newServe(path func() string) *cobra.Command {
	return &cobra.Command{
		Use: "serve", Short: "Serve mail until SIGTERM", Args: cobra.NoArgs,
		Long: "Serve mail. SIGHUP reads the configuration again (all but [listen]), SIGTERM lets\nrunning commands finish and ends; a second SIGTERM ends at once.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := loadConfig(path(), cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			return server.Run(cmd.Context(), server.Options{
				Config: cfg, ConfigPath: path(), Version: version, Log: newLogger(cfg.Log, os.Stderr),
			})
		},
	}
}

// loadConfig prints every problem to w and fails if one of them is an error.
func loadConfig(path string, w io.Writer) (*config.Config, error) {
	cfg, problems := config.Load(path)
	for _, p := range problems {
		fmt.Fprintln(w, p)
	}
	if cfg == nil {
		return nil, errSilent
	}
	return cfg, nil
}

func newLogger(c config.Log, w io.Writer) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.Level)); err != nil {
		level = slog.LevelInfo // config has validated it
	}
	opts := &slog.HandlerOptions{Level: level}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, opts))
	}
	return slog.New(slog.NewTextHandler(w, opts))
}

func newStatus(path func() string) *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "Ask the running server how it is", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := loadConfig(path(), cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			if cfg.Server.Control == "" {
				return fmt.Errorf("%s sets no control socket; set [server] control", path())
			}
			var st server.Status
			if err := server.Ask(cfg.Server.Control, "GET", "/status", &st); err != nil {
				return fmt.Errorf("%w; is roost serve running?", err)
			}
			out := cmd.OutOrStdout()
			fmt.Fprintf(out, "roost %s, pid %d, since %s\n", st.Version, st.PID, st.Started.Format("2006-01-02 15:04:05"))
			for _, l := range st.Listen {
				fmt.Fprintf(out, "listening on %s\n", l)
			}
			fmt.Fprintf(out, "%d connections of %d users, %d not logged in, %d refused so far\n", st.Connections, st.Users, st.Unauthenticated, st.Refused)
			if !st.CertificateExpires.IsZero() {
				fmt.Fprintf(out, "certificate valid until %s\n", st.CertificateExpires.Format("2006-01-02"))
			}
			return nil
		},
	}
}
