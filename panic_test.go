package latchkey_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/internal/engine"
	"github.com/wontopos/latchkey/storage"
	"github.com/wontopos/latchkey/storage/memstore"
)

// panickingCutter panics whenever it is called.
type panickingCutter struct{}

func (panickingCutter) Cut(error) { panic("a mistake in Cut") }
func (panickingCutter) Sever()    { panic("a mistake in Sever") }

// A panic of a Cutter ends neither the process nor the change that cuts, whoever makes it, keeps no lock, and keeps no
// other request from being cut.
func TestAPanicOfACutterKeepsNoOtherRequest(t *testing.T) {
	revoke := func(t *testing.T, s *latchkey.Service, id string) {
		_, err := s.Revoke(t.Context(), ops, id, "")
		want(t, "Revoke", err, nil)
	}
	for rule, c := range map[string]struct {
		shared bool
		end    func(t *testing.T, here *latchkey.Service, id string)
		cause  apikey.Code
	}{
		"a change here":       {false, revoke, apikey.RevokedKey},
		"a change elsewhere":  {true, revoke, apikey.RevokedKey},
		"the end of its time": {false, func(*testing.T, *latchkey.Service, string) { time.Sleep(time.Hour) }, apikey.ExpiredKey},
	} {
		t.Run(rule, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				here := serviceOn(t, memstore.New(), latchkey.Options{})
				s := here
				if c.shared {
					store := newSharedStore()
					here, _ = process(t, store, latchkey.LeaseOptions{})
					s, _ = process(t, store, latchkey.LeaseOptions{})
					defer here.Close(t.Context())
				}
				defer s.Close(t.Context())
				k, token := create(t, here, func(n *latchkey.NewKey) { n.ExpiresAt = time.Now().Add(time.Minute) })
				first := takeOff(t, s, token)
				var broken engine.Flight
				if !first.Verified().Enter(&broken, panickingCutter{}) {
					t.Fatal("Enter refused a key that did not change")
				}
				last := takeOff(t, s, token)
				c.end(t, here, k.ID)
				synctest.Wait()
				for _, f := range []*flight{first, last} {
					if len(f.severed) != 1 {
						t.Errorf("a request beside one whose Cutter panics is severed %d times, want once", len(f.severed))
					}
					want(t, "a request beside it", f.cause(), c.cause)
				}
				if cause := broken.Leave(); cause != c.cause {
					t.Errorf("the request itself was cut because of %v, want %v", cause, c.cause)
				}
			})
		})
	}
}

// panickingNotifier panics in the calls that a service makes to it outside of requests.
type panickingNotifier struct {
	storage.Store
	in string
}

func (p panickingNotifier) Subscribe(f func(storage.Notice)) (cancel func()) {
	if p.in == "Subscribe" {
		panic("a mistake in Subscribe")
	}
	return p.Store.(storage.Notifier).Subscribe(f)
}

func (p panickingNotifier) Refusing() error {
	if p.in == "Refusing" {
		panic("a mistake in Refusing")
	}
	return nil
}

func TestAPanicOfSubscribeIsAnErrorOfNew(t *testing.T) {
	_, err := latchkey.New(panickingNotifier{memstore.New(), "Subscribe"}, latchkey.Options{})
	if !errors.Is(err, apikey.Unavailable) || !strings.Contains(err.Error(), "a mistake in Subscribe") {
		t.Errorf("got error %v, want Unavailable with the panic", err)
	}
}

func TestAPanicOfRefusingIsInHealth(t *testing.T) {
	s := serviceOn(t, panickingNotifier{memstore.New(), "Refusing"}, latchkey.Options{})
	for range 2 {
		if h := s.Health(); !h.Ready || !strings.Contains(h.Refusing, "a mistake in Refusing") {
			t.Errorf("got %+v, want a ready service that reports the panic", h)
		}
	}
	_, token := create(t, s)
	want(t, "a key", verify(t, s, token), nil)
}
