package tree_test

// useDefences keep what is told of a key's use true: what was asked, how it
// ended, which scopes it took.
var useDefences = []defence{
	{
		name: "uses: an end that comes after the flush is told",
		file: "apikey/sample.go",
		old:  `		m.ended = append(m.ended, s)`,
		new:  `		_ = m.ended`,
		pkg:  "./apikey",
		run:  "^TestARequestThatOutlivesItsFlushTellsItsEndLater$",
	},
	{
		name: "uses: a late end is no request in an hour of its own",
		file: "apikey/meter.go",
		old:  `Secret: s.credential.principal.secret, Hour: s.hour,`,
		new:  `Secret: s.credential.principal.secret, Hour: hour,`,
		pkg:  "./apikey",
		run:  "^TestARequestThatOutlivesItsFlushTellsItsEndLater$",
	},
	{
		name: "uses: a route has no control characters and an end",
		file: "apikey/sample.go",
		old:  `if route = clip(route, 128); route == "" {`,
		new:  `if route == "" {`,
		pkg:  "./apikey",
		run:  "^TestLastUseTellsWhatWasAskedAndHowItEnded$",
	},
	{
		name: "uses: the narrowest scope is used",
		file: "apikey/scope.go",
		old:  `	for i := len(granted) - 1; i >= 0; i-- {`,
		new:  `	for i := range granted {`,
		pkg:  "./apikey",
		run:  "^TestWhatIsNotUsedCanBeTakenAway$",
	},
	{
		name: "uses: every scope that is required is used",
		file: "apikey/scope.go",
		old:  `			used |= place(i)`,
		new:  `			used = place(i)`,
		pkg:  "./apikey",
		run:  "^TestWhatIsNotUsedCanBeTakenAway$",
	},
	{
		name: "uses: a handler that asks for a scope uses it",
		file: "apikey/snapshot.go",
		old:  `	p.credential.mark(place(i))`,
		new:  `	_ = p.credential`,
		pkg:  "./apikey",
		run:  "^TestAScopeThatAHandlerAsksForIsUsed$",
	},
	{
		name: "uses: a scope that is used outside a request is flushed",
		file: "apikey/meter.go",
		old: `	c.usedHigh.Or(high)
	c.snap.terms.service.meter.list(c)
`,
		new: `	c.usedHigh.Or(high)
`,
		pkg: "./apikey",
		run: "^TestAScopeThatAHandlerAsksForIsUsed$",
	},
	{
		name: "uses: the scopes past the first word count",
		file: "apikey/meter.go",
		old:  `ScopeSet(c.used.Swap(0)) | ScopeSet(c.usedHigh.Swap(0))<<32`,
		new:  `ScopeSet(c.used.Swap(0)) | ScopeSet(c.usedHigh.Swap(0))`,
		pkg:  "./apikey",
		run:  "^TestEachOfTheMostScopesIsToldApart$",
	},
	{
		name: "uses: scopes that a store did not take are kept",
		file: "apikey/meter.go",
		old:  `			if !slices.Contains(d.Scopes, scope) {`,
		new:  `			if slices.Contains(d.Scopes, scope) {`,
		pkg:  "./apikey",
		run:  "^TestScopesAreUsedInTheirNewestHour$",
	},
	{
		name: "uses: an inner door uses scopes",
		file: "middleware/door.go",
		old:  `		o.verified.Used(o.used)`,
		new:  `		_ = o.used`,
		pkg:  "./middleware",
		run:  "^TestDoorsUseScopes$",
	},
	{
		name: "uses: no query is stored",
		file: "middleware/sample.go",
		old:  `r.URL.EscapedPath()`,
		new:  `r.URL.RequestURI()`,
		pkg:  "./middleware",
		run:  "^TestLastUseTellsTheRoute$",
	},
	{
		name: "uses: a path is stored as it was escaped",
		file: "middleware/sample.go",
		old:  `r.URL.EscapedPath()`,
		new:  `r.URL.Path`,
		pkg:  "./middleware",
		run:  "^TestLastUseTellsTheRoute$",
	},
	{
		name: "uses: a pattern goes before a path",
		file: "middleware/sample.go",
		old:  `if named := route(r.Method, r.Pattern); named != "" {`,
		new:  `if named := route(r.Method, r.Pattern); named != "" && r.Pattern == "*" {`,
		pkg:  "./middleware",
		run:  "^TestLastUseTellsTheRoute$",
	},
	{
		name: "uses: a handler that panics tells its end",
		file: "middleware/sample.go",
		old: `	defer func() { s.Ended(routeOf(c.w.original), c.status(returned)) }()
	c.run(next)
	returned = true
	c.conclude()
`,
		new: `	c.run(next)
	returned = true
	c.conclude()
	s.Ended(routeOf(c.w.original), c.status(returned))
`,
		pkg: "./middleware",
		run: "^TestLastUseTellsTheStatus$",
	},
	{
		name: "uses: a panic before the response is no 200",
		file: "middleware/sample.go",
		old:  `	case !returned || `,
		new:  `	case `,
		pkg:  "./middleware",
		run:  "^TestLastUseTellsTheStatus$",
	},
	{
		name: "uses: the first status is the status",
		file: "middleware/cut.go",
		old:  `uint32(s|sent)|uint32(status)<<statusShift) {`,
		new:  `uint32(s|sent)|uint32(max(status, 0)%100+200)<<statusShift) {`,
		pkg:  "./middleware",
		run:  "^TestLastUseTellsTheStatus$",
	},
	{
		name: "uses: memstore: scopes go forward only",
		file: "storage/memstore/usage.go",
		old:  `start.After(u.scopes[scope]) {`,
		new:  `!start.IsZero() {`,
		pkg:  "./storage/memstore",
		run:  "^TestStore$/^a_scope_was_used_in_the_newest_hour",
	},
	{
		name: "uses: badgerstore: scopes go forward only",
		file: "storage/badgerstore/usage.go",
		old:  `		if !start.After(newest) {`,
		new:  `		if start.IsZero() {`,
		pkg:  "./storage/badgerstore",
		run:  "^TestStore$/^a_scope_was_used_in_the_newest_hour",
	},
	{
		name: "uses: badgerstore: a purge takes the scopes",
		file: "storage/badgerstore/usage.go",
		old:  `[][]byte{hourPrefix(id), totalPrefix(id), scopePrefix(id)}`,
		new:  `[][]byte{hourPrefix(id), totalPrefix(id)}`,
		pkg:  "./storage/badgerstore",
		run:  "^TestStore$/^a_purge_takes_the_usage",
	},
	{
		name: "uses: badgerstore: counting does not begin anew",
		file: "storage/badgerstore/open.go",
		old:  `		if errors.Is(err, badger.ErrKeyNotFound) || errors.Is(err, storage.ErrCorrupt) {`,
		new:  `		if err == nil || errors.Is(err, badger.ErrKeyNotFound) || errors.Is(err, storage.ErrCorrupt) {`,
		pkg:  "./storage/badgerstore",
		run:  "^TestAnOlderDirectoryTellsSinceWhenScopesAreCounted$",
	},
	{
		name: "uses: pgstore: scopes go forward only",
		file: "storage/pgstore/usage_sql.go",
		old:  `AND o.scope = d.scope COLLATE "C" AND o.hour >= d.hour`,
		new:  `AND o.scope = d.scope COLLATE "C" AND o.hour > d.hour`,
		pkg:  "./storage/pgstore",
		run:  "^TestAScopeIsWrittenOnceAnHour$",
	},
	{
		name: "uses: pgstore: a route is of the use that it was told of",
		file: "storage/pgstore/usage_sql.go",
		old:  `CASE WHEN last_told_at = last_at THEN last_route ELSE '' END`,
		new:  `last_route`,
		pkg:  "./storage/pgstore",
		run:  "^TestWhatAnOlderProgramWritesHasNoRoute$",
	},
	{
		name: "uses: pgstore: more of the same use is taken",
		file: "storage/pgstore/usage_sql.go",
		old:  `OR t.last_status = 0 AND (`,
		new:  `OR t.last_status > 0 AND (`,
		pkg:  "./storage/pgstore",
		run:  "^TestStore$/^a_last_use_tells_what_was_asked",
	},
}
