package storetest

import (
	"context"
	"io"
	"reflect"
	"testing"

	"github.com/wontopos/latchkey/storage"
)

// Harness tells the suite how to get stores of one kind, and what they can do.
// Open is required; for the other fields the zero value declares that the store
// lacks the ability.
//
// The functions may be called from several tests at once, each with its own
// stores. They report errors with t.Fatal, and clean up with t.Cleanup.
type Harness struct {
	// Open returns a new, empty store.
	Open func(t testing.TB) storage.Store

	// Reopen stops using s and returns a store on the same data, as after a
	// restart of the program. Nil declares that nothing survives a restart.
	Reopen func(t testing.TB, s storage.Store) storage.Store

	// Compact makes s do now what it otherwise does at its own pace to reclaim
	// space: compaction, garbage collection, vacuum. Nil declares that it does
	// nothing of the kind.
	Compact func(t testing.TB, s storage.Store)

	// Corrupt damages the stored record of a key behind the store's back, so that
	// it cannot be decoded. Nil declares that this cannot happen.
	Corrupt func(t testing.TB, s storage.Store, id string)

	// Second opens another handle on the data of s, as another process would.
	// Nil declares that only one can be open at a time.
	Second func(t testing.TB, s storage.Store) storage.Store

	// Notifies declares that s is a [storage.Notifier].
	Notifies bool

	// Feeds declares that s is a [storage.Feed].
	Feeds bool

	// Batches declares that s is a [storage.BatchGetter].
	Batches bool

	// Closes declares that s is an [io.Closer].
	Closes bool
}

// check is one rule. It returns an error that quotes the broken rule, so that
// the suite itself can be tested with stores that break it.
type check struct {
	name string
	run  func(e *env) error
	// needs says why the check is skipped for a harness; empty means that it is
	// not skipped.
	needs func(h Harness) string
}

// checks returns all checks of the suite.
func checks() []check {
	all := [][]check{
		abilityChecks, recordChecks, toldChecks, batchChecks, changeChecks, revocationChecks, listChecks, queryChecks, activityChecks,
		auditChecks, usageChecks, useChecks, noticeChecks, feedChecks, instanceChecks, awaitChecks, lifeChecks,
	}
	var flat []check
	for _, c := range all {
		flat = append(flat, c...)
	}
	return flat
}

// Run checks every rule of the contract of [storage.Store], each in a parallel
// subtest with stores of its own.
func Run(t *testing.T, h Harness) {
	for _, c := range checks() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if why := c.skip(h); why != "" {
				t.Skip(why)
			}
			if err := c.against(t, h); err != nil {
				t.Error(err)
			}
		})
	}
}

func (c check) skip(h Harness) string {
	if c.needs == nil {
		return ""
	}
	return c.needs(h)
}

func (c check) against(t testing.TB, h Harness) error {
	return c.run(&env{h: h, t: t, s: h.Open(t), ctx: t.Context()})
}

// env is what a check works with.
type env struct {
	h   Harness
	t   testing.TB
	s   storage.Store
	ctx context.Context
}

func (e *env) reopen()  { e.s = e.h.Reopen(e.t, e.s) }
func (e *env) compact() { e.h.Compact(e.t, e.s) }

// ability returns an ability that the harness has declared.
func ability[T any](e *env) (T, error) {
	a, ok := storage.As[T](e.s)
	if !ok {
		return a, broken("the store is no %v, which its harness declares", reflect.TypeFor[T]())
	}
	return a, nil
}

func needsReopen(h Harness) string {
	if h.Reopen == nil {
		return "declared: nothing survives a restart (Harness.Reopen is nil)"
	}
	return ""
}

func needsCorrupt(h Harness) string {
	if h.Corrupt == nil {
		return "declared: records cannot be damaged (Harness.Corrupt is nil)"
	}
	return ""
}

func needsNotices(h Harness) string {
	if !h.Notifies {
		return "declared: is no storage.Notifier (Harness.Notifies is false)"
	}
	return ""
}

func needsFeed(h Harness) string {
	if !h.Feeds {
		return "declared: is no storage.Feed (Harness.Feeds is false)"
	}
	return ""
}

func needsSecond(h Harness) string {
	if h.Second == nil {
		return "declared: only one handle can be open at a time (Harness.Second is nil)"
	}
	return ""
}

// needs combines conditions.
func needs(all ...func(h Harness) string) func(h Harness) string {
	return func(h Harness) string {
		for _, n := range all {
			if why := n(h); why != "" {
				return why
			}
		}
		return ""
	}
}

func needsClose(h Harness) string {
	if !h.Closes {
		return "declared: is no io.Closer (Harness.Closes is false)"
	}
	return ""
}

var abilityChecks = []check{{
	name: "a store has the abilities that it declares, and no others",
	run: func(e *env) error {
		if _, ok := storage.As[storage.Notifier](e.s); ok != e.h.Notifies {
			return broken("Harness.Notifies is %v, but storage.As finds a Notifier: %v", e.h.Notifies, ok)
		}
		if _, ok := storage.As[storage.Feed](e.s); ok != e.h.Feeds {
			return broken("Harness.Feeds is %v, but storage.As finds a Feed: %v", e.h.Feeds, ok)
		}
		if _, ok := e.s.(storage.BatchGetter); ok != e.h.Batches {
			return broken("Harness.Batches is %v, but the store is a BatchGetter: %v", e.h.Batches, ok)
		}
		if _, ok := storage.As[io.Closer](e.s); ok != e.h.Closes {
			return broken("Harness.Closes is %v, but storage.As finds an io.Closer: %v", e.h.Closes, ok)
		}
		return nil
	},
}}
