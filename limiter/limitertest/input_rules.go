package limitertest

import (
	"context"
	"errors"
	"fmt"
	"regexp"
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
	{invalidRequests, always, invalid},
	{"a cancelled context gives an answer or its error", always, cancelled},
}

const invalidRequests = "invalid requests are errors that name the field, and charge nothing"

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
	const rule = invalidRequests
	ok := e.long(5)
	bad := func(change func(*apikey.Limit)) apikey.Limit {
		l := e.limit(5)
		change(&l)
		return l
	}
	many := make([]apikey.Limit, limiter.MaxWindows+1)
	for i := range many {
		many[i] = apikey.Limit{Name: "w", N: 5, Window: time.Duration(i+1) * e.Unit}
	}
	type wrong struct {
		name, field string
		r           limiter.Request
	}
	all := []wrong{
		{"negative cost", "cost", costing(ask("i", ok), -1)},
		{"limits, no subject", "subject", ask("", ok)},
		{"second, no subject", "subject", with(ask("i", ok), "", ok)},
		{"subject too long", "subject", ask(strings.Repeat("s", limiter.MaxSubject+1), ok)},
		{"same subject twice", "subject", with(ask("i", ok), "i", ok)},
		{"third subject again", "subject", with(with(with(ask("j", ok), "i", ok), "k", ok), "j", ok)},
		{"too many limits", "limits", ask("i", many...)},
		{"too many in all", "limits", with(with(ask("i", many[:4]...), "j", many[:4]...), "k", ok)},
		{"too many demands", "demands", with(with(with(with(ask("i", ok), "j", ok), "k", ok), "l", ok), "m", ok)},
		{"N of zero", "N", ask("i", bad(func(l *apikey.Limit) { l.N = 0 }), ok)},
		{"negative N", "N", ask("i", bad(func(l *apikey.Limit) { l.N = -1 }), ok)},
		{"N beyond the bounds", "N", ask("i", ok, bad(func(l *apikey.Limit) { l.N = 1 << 40 }))},
		{"no kind", "limit", ask("i", bad(func(l *apikey.Limit) { l.Window = 0 }), ok)},
		{"negative window", "window", ask("i", bad(func(l *apikey.Limit) { l.Window = -time.Second }), ok)},
		{"window not in seconds", "window", ask("i", bad(func(l *apikey.Limit) { l.Window += time.Millisecond }), ok)},
		{"window too long", "window", ask("i", bad(func(l *apikey.Limit) { l.Window = 10000 * time.Hour }), ok)},
		{"a limit twice", "limit", ask("i", ok, ok)},
		{"a limit twice, with another N", "limit", ask("i", ok, e.long(6))},
		{"bad limit in second", "N", with(ask("i", ok), "j", bad(func(l *apikey.Limit) { l.N = 0 }))},
		{"of two kinds", "limit", ask("i", bad(func(l *apikey.Limit) { l.Concurrent = true }), ok)},
		{"zone of a window", "zone", ask("i", bad(func(l *apikey.Limit) { l.Zone = "Europe/Berlin" }), ok)},
	}
	if !e.NoUnits {
		five := of(of(of(of(of(ask("i", ok), "a", 1), "b", 1), "c", 1), "d", 1), "e", 1)
		all = append(all, []wrong{
			{"negative amount", "amount", of(ask("i", ok), "tokens", -1)},
			{"unit twice", "unit", of(of(ask("i", ok), "tokens", 1), "tokens", 1)},
			{"too many amounts", "amounts", five},
			{"bad unit", "unit", ask("i", ok, bad(func(l *apikey.Limit) { l.Unit = "To Kens" }))},
		}...)
	}
	quota := apikey.Limit{Name: "quota", N: 5, Period: apikey.Daily}
	if !e.NoQuotas {
		atlantis, year, huge := quota, quota, quota
		atlantis.Zone, year.Period, huge.N = "Europe/Atlantis", "year", 1_000_000_000_000_001
		all = append(all, []wrong{
			{"unknown zone", "zone", ask("i", ok, atlantis)},
			{"unknown period", "period", ask("i", ok, year)},
			{"N of a quota beyond the bounds", "N", ask("i", ok, huge)},
			{"a quota twice", "limit", ask("i", ok, quota, quota)},
		}...)
	}
	if !e.NoConcurrent {
		all = append(all, []wrong{
			{"N in progress beyond the bounds", "N", ask("i", ok, atOnceLimit(apikey.MaxConcurrent+1))},
			{"in progress twice", "limit", ask("i", ok, atOnceLimit(1), atOnceLimit(2))},
			{"in progress with a unit", "unit", ask("i", ok, apikey.Limit{Name: "x", N: 1, Concurrent: true, Unit: "tokens"})},
		}...)
	}
	for _, w := range all {
		field := regexp.MustCompile(`(?i)\b` + w.field + `s?\b`)
		for _, call := range []func(context.Context, limiter.Request) (limiter.Decision, error){e.l.Take, e.l.Peek} {
			d, err := call(e.Context(), w.r)
			if !errors.Is(err, limiter.ErrInvalid) || d != (limiter.Decision{}) || !field.MatchString(err.Error()) {
				e.Errorf("%s: %s: got %+v, %v, want an error about %s", rule, w.name, d, err, w.field)
			}
		}
	}
	e.admit("an error charges nothing", 5, ask("i", ok))
	eight := make([]apikey.Limit, limiter.MaxWindows)
	for i := range eight {
		eight[i] = e.long(5)
		eight[i].Name = fmt.Sprintf("w%d", i)
	}
	e.admit("all limits of a request may be on one subject", 5, ask("eight", eight...))
	e.refuse("all limits of a request may be on one subject", ask("eight", eight[7]))
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
