//go:build unix

package main

import (
	"bytes"
	"errors"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"
)

// The test binary is an instance as well: the parent starts its own file.
func TestMain(m *testing.M) {
	if os.Getenv(asInstance) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// long is for make prove.
func long() bool { return os.Getenv("LATCHKEY_LONG") != "" }

// pick returns the size of a proof in its short or its long form.
func pick(short, full int) int {
	if long() {
		return full
	}
	return short
}

// play runs the program and returns the figures of its one script. Other tests
// share the processor, so no goal is set for how fast it is.
func play(t *testing.T, script string, number int, args ...string) (*figures, error) {
	t.Helper()
	count := "-rounds"
	if script == "none" || script == "fresh" {
		count = "-revokes"
	}
	var out bytes.Buffer
	args = append([]string{"-chaos", script, count, strconv.Itoa(number), "-duration", "0", "-goal", "0", "-keys", "60", "-limits", "postgres"}, args...)
	j, err := run(t.Context(), args, &out)
	if _, ok := errors.AsType[missing](err); ok {
		t.Skip(err)
	}
	if j == nil {
		t.Fatal(err)
	}
	t.Logf("%s", &out)
	f := j.figures[script]
	if f == nil {
		t.Fatal(err)
	}
	if f.rounds != number && err == nil {
		t.Fatalf("%d rounds were played, want %d", f.rounds, number)
	}
	return f, err
}

// After Revoke returned no instance accepts the key.
func TestHealthy(t *testing.T) {
	f, err := play(t, "none", pick(40, 10_000), "-verify-rate", strconv.Itoa(pick(200, 2_000)), "-revokers", "2")
	if err != nil {
		t.Fatal(err)
	}
	if want := 2 * f.rounds; len(f.elsewhere) != want {
		t.Errorf("%d refusals elsewhere were timed, want %d: of every key on both other instances", len(f.elsewhere), want)
	}
}

// A key that was created on one instance works at once on all.
func TestFresh(t *testing.T) {
	f, err := play(t, "fresh", pick(50, 10_000), "-verify-rate", "200", "-revokers", "2")
	if err != nil {
		t.Fatal(err)
	}
	if f.good < 3*f.rounds {
		t.Errorf("%d requests with %d new keys, want each on every instance", f.good, f.rounds)
	}
}

// No request fails while keys are rotated under load; the old secret is dead
// everywhere when the rotation is finished.
func TestRotate(t *testing.T) {
	f, err := play(t, "rotate", pick(20, 1_000), "-verify-rate", strconv.Itoa(pick(200, 1_000)), "-revokers", "2")
	if err != nil {
		t.Fatal(err)
	}
	if want := 2 * f.rounds; len(f.elsewhere) != want {
		t.Errorf("%d refusals of old secrets were timed, want %d", len(f.elsewhere), want)
	}
}

// In an outage cached keys are served to the end of the lease, then nobody is;
// nobody is told that a key is wrong, and the limits hold.
func TestOutage(t *testing.T) {
	args := []string{"-verify-rate", "200"}
	if !long() {
		args = append(args, "-lease", "1500ms", "-outage", "3s")
	} else {
		args = append(args, "-outage", "60s")
	}
	f, err := play(t, "outage", pick(1, 3), args...)
	if err != nil {
		t.Fatal(err)
	}
	if f.refused503 == 0 {
		t.Error("no request was answered with 503: this proves nothing")
	}
}

// An instance that is cut off stops accepting, says 503 and never 401, and holds
// nobody up for longer than a lease.
func TestPartition(t *testing.T) {
	f, err := play(t, "partition", pick(2, 500), "-verify-rate", "200", "-lease", "1s")
	if err != nil {
		t.Fatal(err)
	}
	if f.lastUse == 0 {
		t.Error("no request was accepted after Revoke was called: this proves nothing")
	}
}

// An instance that stood still accepts nothing when it goes on.
func TestStop(t *testing.T) {
	f, err := play(t, "stop", pick(1, 50), "-verify-rate", "200", "-lease", "1s")
	if err != nil {
		t.Fatal(err)
	}
	if len(f.revokes) != f.rounds {
		t.Errorf("%d revocations returned, want %d", len(f.revokes), f.rounds)
	}
}

// While Redis is stopped keys work on, and each instance admits its share of the
// limits; afterwards they count together again.
func TestRedis(t *testing.T) {
	t.Parallel()
	f, err := play(t, "redis", pick(1, 10), "-limits", "redis", "-verify-rate", "200", "-outage", strconv.Itoa(pick(3, 20))+"s")
	if err != nil {
		t.Fatal(err)
	}
	if f.limited == 0 {
		t.Error("no request was refused by a limit: this proves nothing")
	}
}

// An instance that loses Redis along with the database admits its share alone.
func TestPartitionWithLimitsInRedis(t *testing.T) {
	t.Parallel()
	if _, err := play(t, "partition", pick(1, 100), "-limits", "redis", "-verify-rate", "200", "-lease", "1s"); err != nil {
		t.Fatal(err)
	}
}

// What was acknowledged survives the death of the database, and its return is no
// herd.
func TestKill(t *testing.T) {
	t.Setenv("LATCHKEY_TEST_PG_DSN", "") // a server that may be killed
	if _, err := play(t, "kill", pick(1, 20), "-verify-rate", "200", "-lease", "1s"); err != nil {
		t.Fatal(err)
	}
}

// The judge does see stale accepts: without the wait for the others there are
// some.
func TestTheJudgeIsNotBlind(t *testing.T) {
	for range 5 { // a wire may be cut too late, or not for long
		f, err := play(t, "partition", 1, "-verify-rate", "200", "-lease", "1s", "-async")
		if err == nil {
			continue
		}
		if !errors.Is(err, errBroken) || f.violations[ruleStale] == 0 {
			t.Fatalf("%v: %v", err, f.violations)
		}
		return
	}
	t.Fatal("Revoke that waits for nobody went unnoticed")
}

// Each rule, with made-up answers.
func TestRules(t *testing.T) {
	const lease = time.Second
	at := func(d time.Duration) int64 { return int64(d) }
	for _, c := range []struct {
		rule   string
		status int
		sent   time.Duration
		key    func(k *key)
		member func(m *member)
	}{
		{"", 200, 2 * lease, func(*key) {}, func(*member) {}},
		{"", 401, 2 * lease, func(k *key) { k.sent.Store(at(lease)) }, func(*member) {}},
		{"", 503, 2 * lease, func(*key) {}, func(*member) {}},
		{"", 200, lease, func(k *key) { k.sent.Store(1); k.acked.Store(at(lease)) }, func(*member) {}},
		{ruleStale, 200, lease + 1, func(k *key) { k.sent.Store(1); k.acked.Store(at(lease)) }, func(*member) {}},
		{"", 200, 2*lease + slack, func(k *key) { k.sent.Store(1); k.known.Store(at(lease)) }, func(*member) {}},
		{ruleLate, 200, 2*lease + slack + 1, func(k *key) { k.sent.Store(1); k.known.Store(at(lease)) }, func(*member) {}},
		{ruleGood, 401, lease, func(*key) {}, func(*member) {}},
		{ruleGood, 401, lease, func(*key) {}, func(m *member) { m.troubled.Store(true) }},
		{"", 200, 2*lease + slack, func(*key) {}, func(m *member) { m.cutAt.Store(at(lease)) }},
		{ruleServing, 200, 2*lease + slack + 1, func(*key) {}, func(m *member) { m.cutAt.Store(at(lease)) }},
	} {
		j, k, m := newJudge(lease), new(key), new(member)
		j.begin("none")
		c.key(k)
		c.member(m)
		j.observe(m, k, c.sent, c.status)
		f := j.figures["none"]
		if c.rule == "" && j.broken() || c.rule != "" && (f.violations[c.rule] != 1 || len(f.violations) != 1) {
			t.Errorf("%d for a request sent at %v: %v, want %q", c.status, c.sent, f.violations, c.rule)
		}
	}
}

// Calls count in every window that they were begun and answered in.
func TestTheFullestWindow(t *testing.T) {
	for _, c := range []struct {
		calls []call
		after time.Duration
		want  int
	}{
		{nil, 0, 0},
		{[]call{{0, 1, 0}, {9, 10, 0}}, 0, 1},
		{[]call{{0, 1, 0}, {8, 9, 0}}, 0, 2},
		{[]call{{12, 13, 0}, {0, 1, 0}, {5, 6, 0}, {9, 10, 0}}, 0, 3},
		{[]call{{0, 30, 0}, {1, 2, 0}, {3, 4, 0}}, 0, 2}, // the first may have been admitted at any time
		{[]call{{0, 1, 0}, {1, 2, 0}, {20, 21, 0}}, 10, 1},
	} {
		b := &budget{admitted: c.calls}
		if got, _ := b.most(10, c.after); got != c.want {
			t.Errorf("%v: %d in the fullest window after %d, want %d", c.calls, got, c.after, c.want)
		}
	}
}

// Instances that lost the database may admit their shares, and no more.
func TestSharesOfInstancesThatAreAlone(t *testing.T) {
	admit := func(n, alone int) (all []call) {
		for range n {
			all = append(all, call{0, 1, alone})
		}
		return all
	}
	for _, c := range []struct {
		first, second, others int
		counted               int
	}{{0, 0, limitN, limitN}, {share, share, limitN, limitN}, {share + 1, 0, limitN, limitN + 1}, {3, 0, limitN - 1, limitN - 1}} {
		b := &budget{admitted: slices.Concat(admit(c.first, 1), admit(c.second, 2), admit(c.others, 0))}
		if most, counted := b.most(10, 0); most != c.first+c.second+c.others || counted != c.counted {
			t.Errorf("%+v: %d in the window, %d of them counted", c, most, counted)
		}
	}
}

func TestFlags(t *testing.T) {
	for _, args := range [][]string{{"-chaos", "flood"}, {"-lease", "1ms"}, {"-verify-rate", "0"}, {"-keys", "0"}, {"-revokes", "-1"}, {"-limits", "memory"}, {"-before", "old"}} {
		if _, err := parse(args); err == nil {
			t.Errorf("%v is accepted", args)
		}
	}
}
