package limiter

import "time"

// idlePart is the part of N that all instances together may hold or have lost.
const idlePart = 8

// demand is what an account knows about its use, in order to reserve only what
// will be used.
type demand struct {
	end   int64   // until when what the last round trip brought could be held
	life  int64   // the longest that anything could be held
	grown int64   // how far the slow start has come; 0: never asked
	since int64   // the time from which used counts
	used  float64 // the cost admitted
	out   int64   // what calls under way may lose
}

// expected returns the size of the next block: twice the possible size of the
// last, at most most, and no more than is used before it ends at the recent
// pace. A subject that would not use 1 starts over.
func (d *demand) expected(most, now int64) int64 {
	next := min(2*d.grown, most)
	span := float64(d.life)
	if now < d.end { // the next ends with the last
		span = float64(d.end - now)
	}
	if past := float64(now - d.since); d.used*span < float64(next)*past {
		next = int64(d.used * span / past)
	}
	d.grown = max(min(2*d.grown, most), 1)
	if next < 1 {
		d.grown = 1
	}
	return next
}

// answered records a round trip that admitted cost. The pace covers the last
// few lives: older use fades, and is forgotten after a pause.
func (d *demand) answered(asked, life, cost int64) {
	d.end, d.life = asked+life, max(d.life, life)
	switch past := asked - d.since; {
	case past > 8*d.life:
		d.since, d.used = asked, 0
	case past > 4*d.life:
		d.used *= float64(2*d.life) / float64(past)
		d.since = asked - 2*d.life
	}
	d.used += float64(cost)
}

// loss counts what was reserved in one window and not used, in two periods,
// each as long as the shared limiter may count it. Their sum is at least what
// the shared limiter counts.
type loss struct {
	end      int64 // of the current period
	now, old int64
}

// counted is the longest time for which the shared limiter counts a hit of the
// window: the window, the second by which it may have been widened, and a
// segment.
func counted(window time.Duration) int64 { return int64(window + window/60 + 2*time.Second) }

func (l *loss) roll(window time.Duration, now int64) {
	if now < l.end {
		return
	}
	length := counted(window)
	l.old, l.now = l.now, 0
	if now >= l.end+length {
		l.old = 0
	}
	l.end = now + length
}

// within returns how much was lost and may still be counted.
func (l *loss) within(window time.Duration, now int64) int64 {
	l.roll(window, now)
	return l.old + l.now
}

// lose writes off what can no longer be used.
func (a *account) lose(units, now int64) {
	for i := range a.losses {
		a.losses[i].roll(a.limits[i].Window, now)
		a.losses[i].now += units
	}
}

// spare returns the cost that the account would like to reserve beyond what a
// request needs. In each window, what it holds and has lost stays within this
// instance's share of an eighth of N; and when little remains, it takes little.
func (e *Escrow) spare(a *account, need, now int64) int64 {
	n := a.demand.expected(e.block, now) - need
	if n <= 0 || a.demand.life == 0 || a.seen == nil {
		return 0
	}
	for i := range a.limits {
		l := &a.limits[i]
		free := l.N/(idlePart*e.many) - a.losses[i].within(l.Window, now) - a.left - a.demand.out
		n = min(n, free, a.seen[i].Remaining/(2*e.many))
	}
	return max(n, 0)
}
