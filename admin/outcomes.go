package admin

import (
	"net/url"
	"strconv"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
)

// The result of a change is shown on the key's page, to which the change
// redirects. The address of that page carries the result, as an action and two
// numbers, because any instance may be asked for the page. It is shown for a
// minute, and only if the key looks like it, so that an old address shows
// nothing.

const outcomeFor = time.Minute

// outcome is the result of a change.
type outcome struct {
	action    string
	took      time.Duration // until it took effect on all instances
	instances int           // how many instances; 0 if that is not known
}

// query is the part of an address that carries an outcome.
func (o outcome) query() string {
	return "?" + url.Values{
		"done": {o.action}, "ms": {strconv.FormatInt(o.took.Milliseconds(), 10)}, "on": {strconv.Itoa(o.instances)},
	}.Encode()
}

// outcomeIn reads an outcome from an address. The numbers are bounded, because
// an address may contain anything.
func outcomeIn(q url.Values) outcome {
	number := func(name string, most int) int {
		n, _ := strconv.Atoi(q.Get(name))
		return max(0, min(n, most))
	}
	return outcome{q.Get("done"), time.Duration(number("ms", 3_600_000)) * time.Millisecond, number("on", 10_000)}
}

// text says what the result was; empty if the key has not just changed, or does
// not look like it.
func (o outcome) text(k *apikey.Key, now time.Time) string {
	if o.action == "settings" { // also if they already were as in the form
		return "Saved. The changes apply from the next request."
	}
	if now.Sub(k.UpdatedAt) > outcomeFor {
		return ""
	}
	revoked, disabled, rotating := !k.RevokedAt.IsZero(), !k.DisabledAt.IsZero(), k.RotatingAt(now)
	reach := reachText(o.took, o.instances)
	switch {
	case o.action == "disable" && disabled && !revoked:
		return "Disabled. " + reach + " Enable it again at any time."
	case o.action == "enable" && !disabled && !revoked:
		return "Enabled. Requests with it are admitted again."
	case o.action == "revoke" && revoked:
		return "Revoked. " + reach
	case o.action == "finish" && !rotating && len(k.Secrets) > 1:
		return "Rotation finished: the old secret has ended. " + reach
	case o.action == "cancel" && !rotating && len(k.Secrets) > 1:
		return "Rotation cancelled: the new secret has ended, the old one keeps working."
	}
	return ""
}

// came is the outcome of an action that has just taken effect. Revoke and
// similar operations return when no process that keeps up can admit the key any
// more.
func (c *call) came(action string) outcome {
	instances := c.h.keys.Health().Instances
	if _, alone := storage.As[storage.Notifier](c.h.keys.Store()); alone && instances == 0 {
		instances = 1
	}
	return outcome{action, time.Since(c.now), instances}
}

// reachText says where a change that took so long is in effect.
func reachText(took time.Duration, instances int) string {
	in := "within " + grouped(uint64(max(1, took.Milliseconds()))) + " ms"
	switch instances {
	case 0:
		return "Stopped working in this process " + in + ", including requests in progress. Other instances follow within the configured bound (MaxStale)."
	case 1:
		return "Stopped working everywhere " + in + ", including requests in progress (one instance)."
	}
	return "Stopped working on all " + grouped(uint64(instances)) + " instances " + in + ", including requests in progress."
}
