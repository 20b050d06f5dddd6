package server

import (
	"slices"
	"testing"

	"roost/config"
)

// What a reload cannot take over is named.
func TestNeedsRestart(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*config.Config)
		want   []string
	}{
		"nothing":  {func(*config.Config) {}, nil},
		"listen":   {func(c *config.Config) { c.Listen.IMAP = append(slices.Clone(c.Listen.IMAP), "127.0.0.1:1") }, []string{"listen"}},
		"path":     {func(c *config.Config) { c.Mail.Path = "/elsewhere/%u" }, nil},
		"layout":   {func(c *config.Config) { c.Mail.Layout = "fs" }, []string{"mail"}},
		"shared":   {func(c *config.Config) { c.Shared.Prefix = "others/" }, []string{"shared"}},
		"memory":   {func(c *config.Config) { c.Limits.Memory *= 2 }, []string{"limits.memory"}},
		"owner":    {func(c *config.Config) { c.Limits.MinUID++ }, []string{"limits.min_uid"}},
		"poll":     {func(c *config.Config) { c.Limits.Poll *= 2 }, []string{"limits.poll"}},
		"metadata": {func(c *config.Config) { c.Limits.MetadataEntries++ }, []string{"limits.metadata_*"}},
		"sessions": {func(c *config.Config) { c.Limits.Sessions++ }, nil},
	} {
		cfg := config.Default()
		test.change(cfg)
		if got := needsRestart(config.Default(), cfg); !slices.Equal(got, test.want) {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
}
