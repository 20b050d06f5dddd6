package mailbox

import (
	"context"
	"testing"
)

// TestTickTrustsEvents: the tick does not scan because of a delivery whose event
// was followed already.
func TestTickTrustsEvents(t *testing.T) {
	f := filled(t, 2)
	v := f.view(false)
	defer v.Close()
	f.eventually("the directories are quiet", func() bool { f.noop(v); return f.mb.quiet.Load() != nil })
	f.deliver("new/9.z")
	f.eventually("the delivery is told", func() bool {
		c, err := v.Sync(SyncEverything)
		return err == nil && c.Exists
	})
	f.mb.syncing <- struct{}{}
	defer func() { <-f.mb.syncing }()
	scans := f.count.Scans.Load()
	f.mb.tick(context.Background())
	if f.mb.files.wantScan || f.count.Scans.Load() != scans {
		t.Error("the tick scans")
	}
}
