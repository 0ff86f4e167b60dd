package redisstore_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/limiter"
	"github.com/wontopos/latchkey/storage/redisstore/redistest"
)

func TestACluster(t *testing.T) {
	nodes := redistest.Cluster(t)
	each(t, func(t *testing.T, open opener) {
		l := open(t, own(), nodes[0].Addr(), nodes[1].Addr(), nodes[2].Addr())
		l.SlotsLast(time.Second)
		t.Run("decides subjects of one hash tag in one step", func(t *testing.T) {
			for i := range 20 { // on all nodes
				tag := fmt.Sprintf("{owner %d}", i)
				r := limiter.Request{Demands: []limiter.Demand{
					{Subject: tag + "key", Limits: []apikey.Limit{apikey.PerDay(2)}},
					{Subject: tag, Limits: []apikey.Limit{apikey.PerDay(3), {Name: "two", N: 2, Concurrent: true}}},
				}}
				for range 2 {
					if d := takes(t, l, r); !d.Allowed {
						t.Fatal(d)
					}
				}
				if d := takes(t, l, r); d.Allowed || !d.Windows[0].Violated || !d.Windows[2].Violated {
					t.Fatalf("over the limit: %v", d)
				}
			}
			time.Sleep(1500 * time.Millisecond) // longer than a slot lasts
			for i := range 20 {
				r := asks(fmt.Sprintf("{owner %d}", i), apikey.Limit{Name: "two", N: 2, Concurrent: true})
				if d := takes(t, l, r); d.Allowed {
					t.Error("slots on all nodes are renewed: " + d.String())
				}
			}
		})
		t.Run("refuses others, with the reason", func(t *testing.T) {
			r := limiter.Request{Demands: []limiter.Demand{
				{Subject: "key", Limits: []apikey.Limit{apikey.PerDay(2)}},
				{Subject: "owner", Limits: []apikey.Limit{apikey.PerDay(2)}},
			}}
			_, err := l.Take(t.Context(), r)
			if !errors.Is(err, limiter.ErrInvalid) || !strings.Contains(err.Error(), "hash tag") {
				t.Error(err)
			}
		})
		t.Run("takes a request once", func(t *testing.T) {
			for _, subject := range []string{"plain", "{tagged}key", "a}b", "{}c", "x{y"} {
				r := asks(subject, apikey.PerDay(5))
				for range 3 {
					if d, err := l.TakeOnce(t.Context(), "job", r); err != nil || !d.Allowed {
						t.Error(subject, d, err)
					}
				}
				if d, err := l.Peek(t.Context(), r); err != nil || d.Windows[0].Remaining != 4 {
					t.Error(subject, d, err)
				}
			}
		})
	})
}
