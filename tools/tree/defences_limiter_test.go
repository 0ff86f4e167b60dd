package tree_test

var limiterDefences = []defence{
	{
		name: "limiter: a hit counts one segment longer than k segments",
		file: "limiter/ring.go",
		old:  `return r.edge + int64(k-age)*s`,
		new:  `return r.edge + int64(k-age-1)*s`,
		pkg:  "./limiter",
		run:  "^TestBucketDecides",
	},
	{
		name: "limiter: the ring has k+1 counters, not k",
		file: "limiter/ring.go",
		old:  `	shortSegments = 60  // windows of up to an hour`,
		new:  `	shortSegments = 59  // windows of up to an hour`,
		pkg:  "./limiter",
		run:  "^TestBucketDecides",
	},
	{
		name: "limiter: ring lets the oldest segment go no sooner",
		file: "limiter/ring.go",
		old:  `steps := (now-r.edge)/s + 1`,
		new:  `steps := (now-r.edge)/s + 2`,
		pkg:  "./limiter",
		run:  "^TestBucketDecides",
	},
	{
		name: "limiter: segments are rounded up to cover the window",
		file: "limiter/ring.go",
		old:  `return shortSegments, int64((length + shortSegments - 1) / shortSegments)`,
		new:  `return shortSegments, int64(length / shortSegments)`,
		pkg:  "./limiter",
		run:  "^TestBucketDecides",
	},
	{
		name: "limiter: a long gap clears the ring only past k segments",
		file: "limiter/ring.go",
		old:  `if steps > int64(k) {`,
		new:  `if steps >= int64(k) {`,
		pkg:  "./limiter",
		run:  "^TestBucketDecides",
	},
	{
		name: "limiter: a clock behind the newest segment is taken for it",
		file: "limiter/ring.go",
		old: `	if now >= r.edge {
		r.roll`,
		new: `	if now >= r.edge || now < r.edge-r.segment() {
		r.roll`,
		pkg: "./limiter",
		run: "^TestClockInBoth",
	},
	{
		name: "limiter: a hit that leaves is taken off the total",
		file: "limiter/ring.go",
		old:  `r.total -= r.get(cells, slot)`,
		new:  `r.total -= min(r.get(cells, slot), 1)`,
		pkg:  "./limiter",
		run:  "^TestBucketDecides",
	},
	{
		name: "limiter: the newest segment is kept when the ring rolls on",
		file: "limiter/ring.go",
		old: `		r.set(cells, int(r.head), r.newest)
`,
		new: ``,
		pkg: "./limiter",
		run: "^TestBucketDecides",
	},
	{
		name: "limiter: the newest segment is counted once",
		file: "limiter/ring.go",
		old: `		r.newest = 0
	}
`,
		new: `	}
`,
		pkg: "./limiter",
		run: "^TestBucketDecides",
	},
	{
		name: "limiter: Decide clears what stood in the answer",
		file: "limiter/window.go",
		old: `	*d = Decision{}
	return w.take`,
		new: `	return w.take`,
		pkg: "./limiter",
		run: "^TestDecide",
	},
	{
		name: "limiter: the oldest hit is found again",
		file: "limiter/ring.go",
		old:  `	for age += int(steps); left && r.get`,
		new:  `	for ; left && r.get`,
		pkg:  "./limiter",
		run:  "^TestBucketDecides",
	},
	{
		name: "limiter: the oldest hit is looked for when one has left",
		file: "limiter/ring.go",
		old:  `	left := age < oldest`,
		new:  `	left := false`,
		pkg:  "./limiter",
		run:  "^TestBucketDecides",
	},
	{
		name: "limiter: what counts k segments is not let go with what left",
		file: "limiter/ring.go",
		old:  `for ; age > k-int(steps); age-- {`,
		new:  `for ; age >= k-int(steps); age-- {`,
		pkg:  "./limiter",
		run:  "^TestBucketDecides",
	},
	{
		name: "limiter: Remaining never falls below zero",
		file: "limiter/ring.go",
		old:  `s.Remaining = max(r.room(), 0)`,
		new:  `s.Remaining = r.room()`,
		pkg:  "./limiter",
		run:  "^TestWindow$/lowered",
	},
	{
		name: "limiter: RetryAfter walks until enough has left",
		file: "limiter/ring.go",
		old: `		if need <= 0 {
			return r.leaves(age)`,
		new: `		if need <= 0 || age < int(r.age) {
			return r.leaves(age)`,
		pkg: "./limiter",
		run: "^TestWindow$/lowered",
	},
	{
		name: "limiter: counters widen when N grows",
		file: "limiter/layout.go",
		old: `		r.width = widthFor(max(r.n, r.total))
`,
		new: `		r.width = max(r.width, widthFor(r.total))
`,
		pkg: "./limiter",
		run: "^TestBucketDecides",
	},
	{
		name: "limiter: counters hold a total above a lowered N",
		file: "limiter/layout.go",
		old: `		r.width = widthFor(max(r.n, r.total))
`,
		new: `		r.width = widthFor(r.n)
`,
		pkg: "./limiter",
		run: "^TestBucketDecides",
	},
	{
		name: "limiter: the subject is cloned when kept",
		file: "limiter/bucket.go",
		old:  `strings.Clone(subject)`,
		new:  `strings.TrimSpace(subject)`,
		pkg:  "./limiter",
		run:  "^TestLongSubjects",
	},
	{
		name: "limiter: a cost above N is never admitted",
		file: "limiter/bucket.go",
		old: `		if cost > int64(r.n) {
`,
		new: `		if cost > int64(r.n)+1<<40 {
`,
		pkg: "./limiter",
		run: "^TestBucketDecides",
	},
	{
		name: "limiter: a new window is seeded",
		file: "limiter/layout.go",
		old: `		case b.count() > 0:
`,
		new: `		case b.count() > MaxWindows:
`,
		pkg: "./limiter",
		run: "^TestNewWindow",
	},
	{
		name: "limiter: a seed dates hits as late as can be",
		file: "limiter/layout.go",
		old:  `back := newest - min(end-1, now)/r.segment()`,
		new:  `back := newest - min(end-src.segment(), now)/r.segment()`,
		pkg:  "./limiter",
		run:  "^TestNewWindow",
	},
	{
		name: "limiter: unnamed windows stay until empty",
		file: "limiter/layout.go",
		old:  `r.total > 0 && len(next) < MaxWindows &&`,
		new:  `r.total > 0 && len(next) < len(limits) &&`,
		pkg:  "./limiter",
		run:  "^TestWindow$/comes_back",
	},
	{
		name: "limiter: a changed layout ends the reservation",
		file: "limiter/layout.go",
		old: `		b.more.lease.left = 0
`,
		new: `		b.more.lease.left += 0
`,
		pkg: "./limiter",
		run: "^TestChangedLimits",
	},
	{
		name: "limiter: idle means that every window is empty",
		file: "limiter/bucket.go",
		old: `.empty(b.cells, now) {
			return false`,
		new: `.empty(b.cells, now) {
			return i > 0`,
		pkg: "./limiter",
		run: "^TestEvictionLoses",
	},
	{
		name: "limiter: all windows are asked before any is charged",
		file: "limiter/quick.go",
		old:  `room = room && cost <= rings[i].room()`,
		new:  `room = cost <= rings[i].room()`,
		pkg:  "./limiter",
		run:  "^TestEitherOfTwoWindows",
	},
	{
		name: "limiter: both demands are asked before any is charged",
		file: "limiter/decide.go",
		old:  `if d.Allowed && charge {`,
		new:  `if charge && (d.Allowed || d.Windows[0].Violated) && d.RetryAfter != Never {`,
		pkg:  "./limiter",
		run:  "^TestWindow$/Also_is_charged",
	},
	{
		name: "limiter: Also is charged too",
		file: "limiter/decide.go",
		old: `		for i := range p {
			p[i].bucket.charge`,
		new: `		for i := range p[:1] {
			p[i].bucket.charge`,
		pkg: "./limiter",
		run: "^TestWindow$/crossed",
	},
	{
		name: "limiter: RetryAfter is the longest of the windows",
		file: "limiter/decide.go",
		old: `	return max(a, b)
`,
		new: `	return max(b, 0)
`,
		pkg: "./limiter",
		run: "^TestWindow$/shorter_than_RetryAfter",
	},
	{
		name: "limiter: Peek charges nothing",
		file: "limiter/window.go",
		old:  `err = w.decide(ctx, &r, false, &d)`,
		new:  `err = w.decide(ctx, &r, true, &d)`,
		pkg:  "./limiter",
		run:  "^TestPeekOfUnknown",
	},
	{
		name: "limiter: Peek with other limits leaves no trace",
		file: "limiter/decide.go",
		old: `			q.view = q.bucket.clone()
`,
		new: `			q.view = q.bucket
`,
		pkg: "./limiter",
		run: "^TestPeekWithOther",
	},
	{
		name: "limiter: Peek lets go the bucket that it made",
		file: "limiter/decide.go",
		old: `			w.drop(p[i].bucket)
`,
		new: ``,
		pkg: "./limiter",
		run: "^TestPeekOfUnknown",
	},
	{
		name: "limiter: Peek lets go no bucket that is charged by now",
		file: "limiter/shard.go",
		old:  `if !b.gone && b.idle(w.now()) {`,
		new:  `if !b.gone && w.now() > 0 {`,
		pkg:  "./limiter",
		run:  "^TestDropKeeps",
	},
	{
		name: "limiter: Take after Close is an error",
		file: "limiter/decide.go",
		old: `	if w.closed.Load() {
		return false, ErrClosed`,
		new: `	if w.closed.Load() && w.journal != nil {
		return false, ErrClosed`,
		pkg: "./limiter",
		run: "^TestCloseEnds",
	},
	{
		name: "limiter: Take of a known subject after Close is an error",
		file: "limiter/quick.go",
		old:  `if w.closed.Load() || len(limits)`,
		new:  `if len(limits)`,
		pkg:  "./limiter",
		run:  "^TestCloseEnds",
	},
	{
		name: "limiter: two mutexes are taken in one order",
		file: "limiter/party.go",
		old:  `if p[0].Subject > p[1].Subject {`,
		new:  `if p[0].Subject == p[1].Subject {`,
		pkg:  "./limiter",
		run:  "^TestTwoSubjectsInBothOrders",
	},
	{
		name: "limiter: a slot that points at an evicted bucket is not believed",
		file: "limiter/bucket.go",
		old:  `b.gone, b.n, b.cells = true, 0, nil`,
		new:  `b.gone = true`,
		pkg:  "./limiter",
		run:  "^TestASlotThatIsStale",
	},
	{
		name: "limiter: a bucket that is gone is looked up again",
		file: "limiter/decide.go",
		old:  `if p[i].bucket.gone {`,
		new:  `if p[i].bucket.gone && w.closed.Load() {`,
		pkg:  "./limiter",
		run:  "^TestIndexIsAHint|^TestTakeOfASubject",
	},
	{
		name: "limiter: one slot for two subjects is no deadlock",
		file: "limiter/party.go",
		old:  `if len(p) == 2 && p[0].bucket == p[1].bucket {`,
		new:  `if len(p) > 2 && p[0].bucket == p[1].bucket {`,
		pkg:  "./limiter",
		run:  "^TestOneSlot",
	},
	{
		name: "limiter: subjects are compared, not their hashes",
		file: "limiter/index.go",
		old:  `if b != nil && b.named(subject) {`,
		new:  `if b != nil {`,
		pkg:  "./limiter",
		run:  "^TestIndexIsAHint",
	},
	{
		name: "limiter: a group counts what went on to the next",
		file: "limiter/index.go",
		old: `			g.tags.Store(tags + passed)
`,
		new: `			g.tags.Store(tags)
`,
		pkg: "./limiter",
		run: "^TestTableIsAMap",
	},
	{
		name: "limiter: a group forgets what went on and is removed",
		file: "limiter/index.go",
		old: `			g.tags.Store(tags - passed)
`,
		new: `			g.tags.Store(tags)
`,
		pkg: "./limiter",
		run: "^TestTableIsAMap",
	},
	{
		name: "limiter: a full table grows",
		file: "limiter/index.go",
		old: `	case t.count >= groupLoad*groups:
`,
		new: `	case t.count >= groupSize*groups:
`,
		pkg: "./limiter",
		run: "^TestTableFollows",
	},
	{
		name: "limiter: a table shrinks after a flood",
		file: "limiter/index.go",
		old: `	case 4*t.count < groups:
`,
		new: `	case t.count < 0:
`,
		pkg: "./limiter",
		run: "^TestTableFollows",
	},
	{
		name: "limiter: new buckets pay for the sweep",
		file: "limiter/shard.go",
		old:  `if s.credit += newCredit; s.credit`,
		new:  `if s.credit += newCredit / newCredit; s.credit`,
		pkg:  "./limiter",
		run:  "^TestMemoryFollows",
	},
	{
		name: "limiter: known keys collect idle ones too",
		file: "limiter/quick.go",
		old: `		b.calls, due = 0, true
	}
	b.mu.Unlock()
`,
		new: `		b.calls = 0
	}
	b.mu.Unlock()
`,
		pkg: "./limiter",
		run: "^TestMemoryFollows",
	},
	{
		name: "limiter: a sweep keeps buckets in use",
		file: "limiter/shard.go",
		old:  `!l.busy() && b.idle(now)`,
		new:  `!l.busy() && now > 0`,
		pkg:  "./limiter",
		run:  "^TestEvictionLoses",
	},
	{
		name: "limiter: no bucket is swept while its journal works",
		file: "limiter/shard.go",
		old:  `!l.busy() && b.idle(now)`,
		new:  `b.idle(now)`,
		pkg:  "./limiter",
		run:  "^TestSlowJournal",
	},
	{
		name: "limiter: costs below zero are errors",
		file: "limiter/limiter.go",
		old:  `if r.Cost < 0 {`,
		new:  `if r.Cost < -1 {`,
		pkg:  "./limiter",
		run:  "^TestWindow$/invalid",
	},
	{
		name: "limiter: both demands on one subject is an error",
		file: "limiter/limiter.go",
		old:  `len(r.Limits) > 0 && r.Subject == r.Also.Subject`,
		new:  `len(r.Limits) > MaxWindows && r.Subject == r.Also.Subject`,
		pkg:  "./limiter",
		run:  "^TestOneSubjectForTwoDemands",
	},
	{
		name: "limiter: limits need a subject",
		file: "limiter/limiter.go",
		old:  `if d.Subject == "" {`,
		new:  `if d.Subject == "\xff" {`,
		pkg:  "./limiter",
		run:  "^TestWindow$/invalid",
	},
	{
		name: "limiter: the restart charges the reservation",
		file: "limiter/record.go",
		old:  `r.add(min(rec.reserved, maxCount-r.total))`,
		new:  `r.add(min(rec.reserved/8, maxCount-r.total))`,
		pkg:  "./limiter",
		run:  "^TestGhosts",
	},
	{
		name: "limiter: the reservation is dated at the restart",
		file: "limiter/record.go",
		old: `		r.advance(b.cells, started)
`,
		new: `		r.advance(b.cells, r.edge-1)
`,
		pkg: "./limiter",
		run: "^TestReservationEnds",
	},
	{
		name: "limiter: records of the future are shifted to now",
		file: "limiter/record.go",
		old:  `r.edge = (min(s.newest, started/r.segment()) + 1)`,
		new:  `r.edge = (s.newest + 1)`,
		pkg:  "./limiter",
		run:  "^TestWallClock",
	},
	{
		name: "limiter: a record has a checksum",
		file: "limiter/record.go",
		old:  `if crc32.ChecksumIEEE(body) != binary`,
		new:  `if crc32.ChecksumIEEE(body) == 0 && 0 != binary`,
		pkg:  "./limiter",
		run:  "^TestUndecodable",
	},
	{
		name: "limiter: record counters do not overflow",
		file: "limiter/record.go",
		old:  `r.uvarint("count", maxCount-total)`,
		new:  `r.uvarint("count", maxCount)`,
		pkg:  "./limiter",
		run:  "^TestHostile",
	},
	{
		name: "limiter: record ages fall",
		file: "limiter/record.go",
		old:  `r.uvarint("age", uint64(oldest))`,
		new:  `r.uvarint("age", uint64(shape.segments()))`,
		pkg:  "./limiter",
		run:  "^TestHostile",
	},
	{
		name: "limiter: reservations saturate",
		file: "limiter/record.go",
		old:  `min(rec.reserved, maxCount-r.total)`,
		new:  `rec.reserved`,
		pkg:  "./limiter",
		run:  "^TestReservationsSat",
	},
	{
		name: "limiter: an undecodable record starts full",
		file: "limiter/journal.go",
		old:  `rec = fullRecord(p[i].Limits, w.wall)`,
		new:  `rec = record{}`,
		pkg:  "./limiter",
		run:  "^TestUndecodable",
	},
	{
		name: "limiter: the record is written before the hit is admitted",
		file: "limiter/lease.go",
		old:  `if l.left < cost || now >= l.until {`,
		new:  `if l.left < 0 || now >= l.until {`,
		pkg:  "./limiter",
		run:  "^TestReservationCovers",
	},
	{
		name: "limiter: a reservation is used up",
		file: "limiter/lease.go",
		old: `		p[i].bucket.lease().left -= cost
`,
		new: `		p[i].bucket.lease().left -= cost / 64
`,
		pkg: "./limiter",
		run: "^TestReservationCovers",
	},
	{
		name: "limiter: a reservation is used up by known subjects",
		file: "limiter/quick.go",
		old: `			b.more.lease.left -= cost
`,
		new: `			b.more.lease.left -= cost / 64
`,
		pkg: "./limiter",
		run: "^TestReservationCovers",
	},
	{
		name: "limiter: a reservation ends",
		file: "limiter/lease.go",
		old:  `if l.left < cost || now >= l.until {`,
		new:  `if l.left < cost {`,
		pkg:  "./limiter",
		run:  "^TestReservationEnds",
	},
	{
		name: "limiter: a reservation ends for known subjects",
		file: "limiter/lease.go",
		old:  `cost <= l.left && now < l.until`,
		new:  `cost <= l.left`,
		pkg:  "./limiter",
		run:  "^TestReservationEnds",
	},
	{
		name: "limiter: a record outlives its reservation by a window",
		file: "limiter/journal.go",
		old:  `2*length + segment + time.Minute`,
		new:  `length + segment + time.Minute`,
		pkg:  "./limiter",
		run:  "^TestReservationEnds",
	},
	{
		name: "limiter: a failed write leaves no reservation",
		file: "limiter/journal.go",
		old:  `l.left, l.until = 0, now+int64(length)`,
		new:  `l.until = now + int64(length)`,
		pkg:  "./limiter",
		run:  "^TestFailedWrite",
	},
	{
		name: "limiter: a failed load is tried again",
		file: "limiter/journal.go",
		old: `	if err != nil { // the next call tries again
`,
		new: `	if err != nil {
		b.lease().known = true
`,
		pkg: "./limiter",
		run: "^TestFailedLoad",
	},
	{
		name: "limiter: a failed write admits nothing",
		file: "limiter/journal.go",
		old: `	if err != nil {
		return fmt.Errorf("%w: save: %w", ErrUnavailable, err)
	}
`,
		new: `	if err != nil {
		w.log.Error(err.Error())
	}
`,
		pkg: "./limiter",
		run: "^TestJournalErrors",
	},
	{
		name: "limiter: a deletion never overtakes the next record",
		file: "limiter/lease.go",
		old: `		if l.busy() {
			return false, w.wait`,
		new: `		if l.busy() && l.left < 0 {
			return false, w.wait`,
		pkg: "./limiter",
		run: "^TestDeletionNever",
	},
	{
		name: "limiter: a known subject waits for its deletion",
		file: "limiter/lease.go",
		old:  `return l.known && l.io == nil &&`,
		new:  `return l.known &&`,
		pkg:  "./limiter",
		run:  "^TestLeaseCovers",
	},
	{
		name: "limiter: eviction deletes the record",
		file: "limiter/shard.go",
		old:  `				if l.recorded() {`,
		new:  `				if l.recorded() && seen < 0 {`,
		pkg:  "./limiter",
		run:  "^TestOwnRecords",
	},
	{
		name: "limiter: a panicking journal leaves no lock",
		file: "limiter/lease.go",
		old:  `		if !returned {`,
		new:  `		if returned && p == nil {`,
		pkg:  "./limiter",
		run:  "^TestPanicking",
	},
	{
		name: "limiter: waiting ends with the context",
		file: "limiter/lease.go",
		old: `	case <-ctx.Done():
`,
		new: `	case <-context.WithoutCancel(ctx).Done():
`,
		pkg: "./limiter",
		run: "^TestSlowJournal",
	},
	{
		name: "limiter: a clean Close writes exact counts",
		file: "limiter/close.go",
		old:  `b.encode(0)`,
		new:  `b.encode(l.left)`,
		pkg:  "./limiter",
		run:  "^TestWindowWithJournal/default/restart",
	},
	{
		name: "limiter: Close writes every subject",
		file: "limiter/close.go",
		old:  `!l.known || !l.over {`,
		new:  `!l.known || l.over {`,
		pkg:  "./limiter",
		run:  "^TestJournalErrors",
	},
	{
		name: "limiter: a failed Close may be called again",
		file: "limiter/close.go",
		old: `	if err != nil {
		return err
	}
	l.over = false
`,
		new: `	l.over = false
	if err != nil {
		return err
	}
`,
		pkg: "./limiter",
		run: "^TestJournalErrors",
	},
}
