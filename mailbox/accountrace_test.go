package mailbox

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
)

// Many sessions open, use, delete and rename the same few mailboxes at once.
// What they get are the errors that they may get, and in the end every mailbox
// has one identity and nobody holds a live one.
func TestAccountConcurrent(t *testing.T) {
	_, st := memStore(t, func(o *Options) { o.Descriptors = 6 * liveDescriptors * 100 / liveShare })
	names := []string{"INBOX", "a", "a/b", "b", "b/c", "c"}
	allowed := []error{ErrNotExist, ErrExist, ErrName, ErrHasChildren, ErrNotSelectable, ErrGone}
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(worker), 9))
			for range 60 {
				a, err := st.Open(context.Background(), User{Name: "alice", Path: testRoot})
				if err != nil {
					t.Error(err)
					return
				}
				name, other := names[rng.IntN(len(names))], names[rng.IntN(len(names))]
				if err := oneOperation(rng.IntN(10), a, name, other); err != nil {
					ok := false
					for _, e := range allowed {
						ok = ok || errors.Is(err, e)
					}
					if !ok {
						t.Errorf("%s, %s: %v", name, other, err)
					}
				}
				a.Release()
			}
		})
	}
	wg.Wait()
	st.mu.Lock()
	for _, a := range st.accounts {
		if a.refs != 0 {
			t.Errorf("%d references to the account are left", a.refs)
		}
		for _, lm := range a.live {
			if lm.refs != 0 || lm.closing == nil && lm.idle == nil {
				t.Errorf("%s: %d references are left", lm.slot.path(), lm.refs)
			}
		}
	}
	st.mu.Unlock()
	a := openTestAccount(t, st)
	defer a.Release()
	all, err := a.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ids := map[string]string{}
	for _, l := range all {
		if !l.Exists {
			continue
		}
		id := identityOf(t, a, l.Name).id
		if was, dup := ids[id]; dup {
			t.Errorf("%q and %q are the same mailbox", was, l.Name)
		}
		ids[id] = l.Name
	}
}

func oneOperation(what int, a *Account, name, other string) error {
	ctx := context.Background()
	switch what {
	case 0, 1:
		_, err := a.Create(ctx, name, nil)
		return err
	case 2:
		return a.Delete(ctx, name)
	case 3:
		return a.Rename(ctx, name, other)
	case 4:
		_, err := a.List(ctx)
		return err
	case 5:
		return a.Subscribe(ctx, name, len(other) > 1)
	case 6, 7:
		st, err := a.Status(ctx, name, StatusItems{Size: true}, &Barrier{})
		if err == nil && (st.ID == "" || st.UIDValidity == 0) {
			return fmt.Errorf("empty status %+v", st)
		}
		return err
	}
	mb, err := a.Mailbox(ctx, name)
	if err != nil {
		return err
	}
	defer mb.Release()
	var b Barrier
	v, err := mb.Open(ctx, false, &b)
	if err != nil {
		return err
	}
	defer v.Close()
	if err := v.Refresh(ctx); err != nil {
		return err
	}
	_, err = v.Sync(SyncEverything)
	return err
}
