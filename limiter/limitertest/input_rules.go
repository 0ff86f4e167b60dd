package limitertest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"
	"unsafe"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/limiter"
)

var inputRules = []rule{
	{"cost is charged to every window and 0 means 1", always, costs},
	{"subjects are bytes", always, subjects},
	{"a limiter keeps no reference to its arguments", always, references},
	{"invalid requests are errors and charge nothing", always, invalid},
	{"a cancelled context gives an answer or its error", always, cancelled},
}

func costs(e *env) {
	r := with(ask("cost", e.long(10), e.limit(10)), "owner of cost", e.long(20))
	if d := e.admit("a cost that fits is admitted", 1, costing(r, 7)); d.Windows[0].Remaining != 3 || d.Windows[1].Remaining != 3 || d.Windows[2].Remaining != 13 {
		e.Errorf("cost is charged to every window: got %+v", d)
	}
	e.refuse("a cost above what remains is refused", costing(r, 4))
	e.remaining("a refused cost is not charged in part", r, 3, 3, 13)
	e.admit("cost 0 means 1", 1, costing(r, 0))
	e.remaining("cost 0 means 1", r, 2, 2, 12)
	e.admit("a cost of all that remains is admitted", 1, costing(r, 2))
	e.refuse("a full window refuses", r)
}

func subjects(e *env) {
	long := strings.Repeat("s", limiter.MaxSubject)
	all := []string{
		" ", "a", "A", "a ", " a", "a\x00", "\x00a", "\x00", "\xff\xfe", "\xc3\x28", "é", "e\u0301", "{a}", "a:b", "a:", "*", "%s", "a\nb", "'; drop table keys; --",
		long, long[:len(long)-1] + "t", "x" + long[1:],
	}
	for _, s := range all {
		e.admit("subjects are bytes", 2, ask(s, e.long(2)))
	}
	for _, s := range all {
		e.refuse("subjects are bytes", ask(s, e.long(2)))
	}
	e.admit("the demands of a request do not run together", 1, with(ask("ab", e.long(1)), "c", e.long(1)))
	e.admit("the demands of a request do not run together", 1, with(ask("a b", e.long(1)), "bc", e.long(1)))
}

// references overwrites the memory of the arguments between calls, as servers
// that reuse their buffers do.
func references(e *env) {
	const rule = "a limiter keeps no reference to its arguments"
	buf := []byte("mine")
	limits := []apikey.Limit{e.long(2)}
	r := limiter.Request{Demands: []limiter.Demand{{Subject: unsafe.String(&buf[0], len(buf)), Limits: limits}}}
	e.admit(rule, 2, r)
	copy(buf, "your")
	limits[0] = e.long(100)
	r.Demands[0] = limiter.Demand{}
	e.refuse(rule, ask("mine", e.long(2)))
	e.admit(rule, 2, ask("your", e.long(2)))
}

func invalid(e *env) {
	const rule = "invalid requests are errors and charge nothing"
	ok := e.long(5)
	bad := func(change func(*apikey.Limit)) apikey.Limit {
		l := e.limit(5)
		change(&l)
		return l
	}
	many := make([]apikey.Limit, apikey.MaxLimits+1)
	for i := range many {
		many[i] = apikey.Limit{Name: "w", N: 5, Window: time.Duration(i+1) * e.Unit}
	}
	for name, r := range map[string]limiter.Request{
		"negative cost":         costing(ask("i", ok), -1),
		"limits, no subject":    ask("", ok),
		"second, no subject":    with(ask("i", ok), "", ok),
		"subject too long":      ask(strings.Repeat("s", limiter.MaxSubject+1), ok),
		"same subject twice":    with(ask("i", ok), "i", ok),
		"third subject again":   with(with(with(ask("j", ok), "i", ok), "k", ok), "j", ok),
		"too many limits":       ask("i", many[:apikey.MaxLimits+1]...),
		"too many in all":       with(with(ask("i", many[:4]...), "j", many[:4]...), "k", ok),
		"too many demands":      with(with(with(with(ask("i", ok), "j", ok), "k", ok), "l", ok), "m", ok),
		"N of zero":             ask("i", bad(func(l *apikey.Limit) { l.N = 0 }), ok),
		"negative N":            ask("i", bad(func(l *apikey.Limit) { l.N = -1 }), ok),
		"N beyond the bounds":   ask("i", ok, bad(func(l *apikey.Limit) { l.N = 1 << 40 })),
		"no window":             ask("i", bad(func(l *apikey.Limit) { l.Window = 0 }), ok),
		"negative window":       ask("i", bad(func(l *apikey.Limit) { l.Window = -time.Second }), ok),
		"window not in seconds": ask("i", bad(func(l *apikey.Limit) { l.Window += time.Millisecond }), ok),
		"window too long":       ask("i", bad(func(l *apikey.Limit) { l.Window = 10000 * time.Hour }), ok),
		"a window twice":        ask("i", ok, ok),
		"bad limit in second":   with(ask("i", ok), "j", bad(func(l *apikey.Limit) { l.N = 0 })),
	} {
		for _, call := range []func(context.Context, limiter.Request) (limiter.Decision, error){e.l.Take, e.l.Peek} {
			if d, err := call(e.Context(), r); !errors.Is(err, limiter.ErrInvalid) || d != (limiter.Decision{}) {
				e.Errorf("%s: %s: got %+v, %v", rule, name, d, err)
			}
		}
	}
	e.admit("an error charges nothing", 5, ask("i", ok))
	if slices.ContainsFunc(many, func(l apikey.Limit) bool { return l.N != 5 }) {
		e.Error("limits are only read")
	}
}

func cancelled(e *env) {
	const rule = "a cancelled context gives an answer or its error"
	ctx, cancel := context.WithCancel(e.Context())
	cancel()
	r := ask("cancelled", e.long(50))
	admitted := int64(0)
	for range 10 {
		d, err := e.l.Take(ctx, r)
		switch {
		case err != nil && (!errors.Is(err, context.Canceled) || d != (limiter.Decision{})):
			e.Errorf("%s: got %+v, %v", rule, d, err)
		case err == nil && d.Allowed:
			admitted++
		}
	}
	e.remaining("an error charges nothing", r, 50-admitted)
}
