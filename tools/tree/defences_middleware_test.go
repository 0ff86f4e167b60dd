package tree_test

var middlewareDefences = []defence{
	{
		name: "middleware: the key is looked at again when it changed before Enter",
		file: "middleware/check.go",
		old: `			continue // the key has changed since: look at it again
`,
		new: `			// go on as if it had not changed
`,
		pkg: "./middleware",
		run: `^TestCheckSeesAChangeBeforeEnter$`,
	},
	{
		name: "middleware: a request is in flight before it is charged",
		file: "middleware/check.go",
		old:  `		if r.Flight != nil && !o.verified.Enter(r.Flight, r.Cutter) {`,
		new:  `		if c := g.charge(ctx, r, o); c == apikey.OK && r.Flight != nil && !o.verified.Enter(r.Flight, r.Cutter) {`,
		pkg:  "./middleware",
		run:  `^TestCheckRegistersBeforeItCharges$`,
	},
	{
		name: "middleware: Enter reads the clock after it armed the timer",
		file: "apikey/flight.go",
		old:  `	return v.refusal() == OK`,
		new:  `	return true`,
		pkg:  "./middleware",
		run:  `^TestCheckSeesAnEndBeforeEnter$`,
	},
	{
		name: "middleware: nothing is charged before the free checks",
		file: "middleware/check.go",
		old:  `		if code := g.permits(r, o); code != apikey.OK {`,
		new:  `		if code := max(g.charge(ctx, r, o), g.permits(r, o)); code != apikey.OK {`,
		pkg:  "./middleware",
		run:  `^TestCheckChargesLast$`,
	},
	{
		name: "middleware: a request that the limiter refused leaves",
		file: "middleware/check.go",
		old:  `cause := r.Flight.Leave(); cause != apikey.OK {`,
		new:  `cause := apikey.OK; cause != apikey.OK {`,
		pkg:  "./middleware",
		run:  `^TestCheckLeavesAfterRefusal$/^refused$`,
	},
	{
		name: "middleware: a panic in the limiter leaves no request in flight",
		file: "middleware/check.go",
		old:  `if !finished && o.entered {`,
		new:  `if finished && o.entered {`,
		pkg:  "./middleware",
		run:  `^TestCheckLeavesAfterRefusal$/^panic$`,
	},
	{
		name: "middleware: a store that cannot confirm is never a 401",
		file: "middleware/check.go",
		old:  `	return apikey.Unavailable // nothing is known of the key: never 401`,
		new:  `	return apikey.InvalidKey`,
		pkg:  "./middleware",
		run:  `^TestConformanceHTTP1$/^table:_the_store_cannot_confirm$`,
	},
	{
		name: "middleware: a limiter that fails refuses, unless it was said otherwise",
		file: "middleware/check.go",
		old:  `if g.o.LimiterFailure == FailOpen && ctx.Err() == nil {`,
		new:  `if ctx.Err() == nil {`,
		pkg:  "./middleware",
		run:  `^TestLimiterFailure$`,
	},
	{
		name: "middleware: a failed limiter's decision is not told",
		file: "middleware/check.go",
		old: `		o.Decision = limiter.Decision{}
`,
		new: ``,
		pkg: "./middleware",
		run: `^TestLimiterFailure$`,
	},
	{
		name: "middleware: a zero Requirement panics at set-up",
		file: "middleware/door.go",
		old:  `if r.Need.String() == "" && !r.Need.MetBy(nil) {`,
		new:  `if r.Need.String() != "" && !r.Need.MetBy(nil) && r.Cost < 0 {`,
		pkg:  "./middleware",
		run:  `^TestSetUpMistakesPanic$`,
	},
	{
		name: "middleware: nested doors charge once",
		file: "middleware/door.go",
		old:  `ok && outer.guard == g && d.serveInner(`,
		new:  `ok && outer.guard == g && d.route.Cost > 0 && d.serveInner(`,
		pkg:  "./middleware",
		run:  `^TestNestedDoorsChargeOnce$`,
	},
	{
		name: "middleware: a guard does not take another guard's word",
		file: "middleware/door.go",
		old:  `ok && outer.guard == g && d.serveInner(`,
		new:  `ok && d.serveInner(`,
		pkg:  "./middleware",
		run:  `^TestNestedDoorsChargeOnce$`,
	},
	{
		name: "middleware: a request with another key inside is decided by itself",
		file: "middleware/door.go",
		old: `	if o.presented.KeyID() != outer.flight.Verified().Principal().KeyID() {
		return false
	}
`,
		new: ``,
		pkg: "./middleware",
		run: `^TestNestedDoorsChargeOnce$`,
	},
	{
		name: "middleware: a context that outlives its request admits nothing",
		file: "middleware/door.go",
		old:  `outer.state.Load()&(cut|over) != 0 || `,
		new:  ``,
		pkg:  "./middleware",
		run:  `^TestNestedDoorsChargeOnce$`,
	},
	{
		name: "middleware: a call is never used again",
		file: "middleware/door.go",
		old: `	if o.entered {
		p.used()
	}
`,
		new: ``,
		pkg: "./middleware",
		run: `^TestNothingIsReused$`,
	},
	{
		name: "middleware: header values have no room to append in place",
		file: "middleware/call.go",
		old:  `v := p.values[:1:1]`,
		new:  `v := p.values[:1]`,
		pkg:  "./middleware",
		run:  `^TestNothingIsReused$`,
	},
	{
		name: "middleware: a limiter that decides too much has failed",
		file: "middleware/check.go",
		old:  `err == nil && uint(o.Decision.N) > uint(asked)`,
		new:  `err == nil && asked < 0`,
		pkg:  "./middleware",
		run:  `^TestALimiterThatDecidesTooMuchHasFailed$`,
	},
	{
		name: "middleware: a preflight is OPTIONS with both its fields",
		file: "middleware/door.go",
		old:  `r.Method == http.MethodOptions && `,
		new:  ``,
		pkg:  "./middleware",
		run:  `^TestPreflight$`,
	},
	{
		name: "middleware: a handler does not start for a key that was cut",
		file: "middleware/call.go",
		old: `	if !c.w.state.run() {
		return // cut between the decision and here
	}
`,
		new: `	c.w.state.run()
`,
		pkg: "./middleware",
		run: `^TestCutBetweenDecisionAndHandler$`,
	},
	{
		name: "middleware: requests leave when they are over",
		file: "middleware/call.go",
		old: `	if c.plain().hijacked() == nil {
		c.flight().Leave()
	}
`,
		new: ``,
		pkg: "./middleware",
		run: `^TestCutAfterReturn$`,
	},
	{
		name: "middleware: requests leave when their handler panics",
		file: "middleware/call.go",
		old: `	defer c.release()
	if !c.w.state.run() {
		return // cut between the decision and here
	}
	next(c.writer(), c.request(), c.flight().Verified().Principal())
`,
		new: `	if c.w.state.run() {
		next(c.writer(), c.request(), c.flight().Verified().Principal())
	}
	c.release()
`,
		pkg: "./middleware",
		run: `^TestPanicsPassThrough$`,
	},
	{
		name: "middleware: a hijacked connection stays in flight",
		file: "middleware/call.go",
		old: `	if c.plain().hijacked() == nil {
		c.flight().Leave()
	}
`,
		new: `	c.flight().Leave()
`,
		pkg: "./middleware",
		run: `^TestHijackedConnectionStaysInFlight$/^open$`,
	},
	{
		name: "middleware: a hijacked connection that was closed is not in flight",
		file: "middleware/hijack.go",
		old: `	c.w.flight.Leave()
	return err`,
		new: `	return err`,
		pkg: "./middleware",
		run: `^TestHijackedConnectionStaysInFlight$/^closed$`,
	},
	{
		name: "middleware: Hijack looks at the cut again",
		file: "middleware/hijack.go",
		old: `	if w.isCut() {
		kill(conn)`,
		new: `	if w.under == nil {
		kill(conn)`,
		pkg: "./middleware",
		run: `^TestHijackWhileCut$`,
	},
	{
		name: "middleware: a cut closes the hijacked connection",
		file: "middleware/cut.go",
		old: `		kill(h.Conn)
		return
`,
		new: `		return
`,
		pkg: "./middleware",
		run: `^TestHijackedConnectionStaysInFlight$/^open$`,
	},
	{
		name: "middleware: a hijacked connection ends in a reset",
		file: "middleware/hijack.go",
		old:  `_ = tcp.SetLinger(0)`,
		new:  `_ = tcp.SetLinger(-1)`,
		pkg:  "./middleware",
		run:  `^TestConformanceHTTP1$/^cut:_a_hijacked_connection_is_closed$`,
	},
	{
		name: "middleware: the form's files are removed",
		file: "middleware/call.go",
		old: `	if original.MultipartForm == nil {
		original.MultipartForm = served.MultipartForm
	}
`,
		new: ``,
		pkg: "./middleware",
		run: `^TestRequestIsHandedBack$`,
	},
	{
		name: "middleware: the form's files are removed after a cut, too",
		file: "middleware/cut.go",
		old: `			_ = r.MultipartForm.RemoveAll() // net/http does not, after a panic
`,
		new: `			_ = r
`,
		pkg: "./middleware",
		run: `^TestRequestIsHandedBack$`,
	},
	{
		name: "middleware: the pattern is handed back",
		file: "middleware/call.go",
		old: `		original.Pattern = served.Pattern
`,
		new: `		_ = served
`,
		pkg: "./middleware",
		run: `^TestRequestIsHandedBack$`,
	},
	{
		name: "middleware: what is written after a cut is swallowed",
		file: "middleware/cut.go",
		old: `		if s&cut != 0 {
			return false
		}
		if s&sent`,
		new: `		if s&cut != 0 && s&sent != 0 {
			return false
		}
		if s&sent`,
		pkg: "./middleware",
		run: `^TestCutBeforeTheFirstWrite$`,
	},
	{
		name: "middleware: also when the response has begun",
		file: "middleware/cut.go",
		old: `		if s&cut != 0 {
			return false
		}
		if s&sent`,
		new: `		if s&cut != 0 && s&sent == 0 {
			return false
		}
		if s&sent`,
		pkg: "./middleware",
		run: `^TestCutBetweenWrites$`,
	},
	{
		name: "middleware: a response that has begun is broken off",
		file: "middleware/cut.go",
		old: `		panic(http.ErrAbortHandler)
`,
		new: `		return
`,
		pkg: "./middleware",
		run: `^TestCutBetweenWrites$`,
	},
	{
		name: "middleware: a cut before the handler leaves the connection alone",
		file: "middleware/cut.go",
		old:  `	if s&running == 0 {`,
		new:  `	if s&over != 0 {`,
		pkg:  "./middleware",
		run:  `^TestACutBeforeTheHandlerSparesTheConnection$`,
	},
	{
		name: "middleware: a key that ends during the decision is refused for that",
		file: "middleware/check.go",
		old:  `code, o.Decision = cause, limiter.Decision{}`,
		new:  `_, o.Decision = cause, limiter.Decision{}`,
		pkg:  "./middleware",
		run:  `^TestACutBeforeTheHandlerSparesTheConnection$`,
	},
	{
		name: "middleware: a cut wakes blocked reads",
		file: "middleware/cut.go",
		old: `	_ = c.SetReadDeadline(past)
	if s&sent`,
		new: `	if s&sent`,
		pkg: "./middleware",
		run: `^TestConformanceHTTP1$/^cut:_a_handler_that_waits_for_a_slow_upload`,
	},
	{
		name: "middleware: a cut wakes blocked reads, over HTTP/2",
		file: "middleware/cut.go",
		old: `	_ = c.SetReadDeadline(past)
	if s&sent`,
		new: `	if s&sent`,
		pkg: "./middleware",
		run: `^TestConformanceHTTP2$/^cut:_a_handler_that_waits_for_a_slow_upload`,
	},
	{
		name: "middleware: a cut wakes blocked writes",
		file: "middleware/cut.go",
		old: `	if s&sent != 0 {
		_ = c.SetWriteDeadline(past)
	}
}`,
		new: `	if s&over != 0 {
		_ = c.SetWriteDeadline(past)
	}
}`,
		pkg: "./middleware",
		run: `^TestConformanceHTTP1$/^cut:_a_handler_that_waits_for_a_slow_client`,
	},
	{
		name: "middleware: a cut cancels the context",
		file: "middleware/cut.go",
		old: `		in.cancel(cause)
`,
		new: `		_ = in
`,
		pkg: "./middleware",
		run: `^TestThousandInFlight$`,
	},
	{
		name: "middleware: a read deadline cannot be taken back",
		file: "middleware/writer.go",
		old: `	if w.isCut() {
		_ = c.SetReadDeadline(past)`,
		new: `	if w.isCut() {`,
		pkg: "./middleware",
		run: `^TestDeadlinesCannotBeTakenBack$`,
	},
	{
		name: "middleware: a write deadline cannot be taken back",
		file: "middleware/writer.go",
		old: `			_ = c.SetWriteDeadline(past)
		}
		return s.cause()`,
		new: `			_ = c
		}
		return s.cause()`,
		pkg: "./middleware",
		run: `^TestDeadlinesCannotBeTakenBack$`,
	},
	{
		name: "middleware: 103 is no beginning",
		file: "middleware/writer.go",
		old:  `status <= 199 && status != http.StatusSwitchingProtocols`,
		new:  `status < 100 && status != http.StatusSwitchingProtocols`,
		pkg:  "./middleware",
		run:  `^TestConformanceHTTP1$/^cut:_103_is_no_beginning`,
	},
	{
		name: "middleware: the refusal of a cut request closes the connection",
		file: "middleware/cut.go",
		old:  `header.Set("Connection", "close") // its read`,
		new:  `_ = r // its read`,
		pkg:  "./middleware",
		run:  `^TestCutBeforeTheFirstWrite$`,
	},
	{
		name: "middleware: nothing of the handler's header survives a cut",
		file: "middleware/cut.go",
		old: `			delete(header, name)
`,
		new: `			_ = name
`,
		pkg: "./middleware",
		run: `^TestCutBeforeTheFirstWrite$`,
	},
	{
		name: "middleware: HTTP/1.0 is broken off by a reset",
		file: "middleware/cut.go",
		old:  `return r.ProtoMajor == 1 && (r.ProtoMinor == 0 || h[`,
		new:  `return r.ProtoMajor == 1 && (r.ProtoMinor == 9 || h[`,
		pkg:  "./middleware",
		run:  `^TestConformanceHTTP1$/^cut:_a_response_to_HTTP`,
	},
	{
		name: "middleware: derived contexts start no goroutine",
		file: "middleware/context.go",
		old: `		return in.Value(key) // context's own key finds inner itself
`,
		new: `		return c.parent().Value(key)
`,
		pkg: "./middleware",
		run: `^TestDerivedContextsStartNoGoroutine$`,
	},
	{
		name: "middleware: the context ends with its request",
		file: "middleware/context.go",
		old: `	c.state.Or(over)
`,
		new: ``,
		pkg: "./middleware",
		run: `^TestContextEndsWithItsRequest$`,
	},
	{
		name: "middleware: two Authorization lines are refused",
		file: "middleware/authorization.go",
		old: `	return "", apikey.MalformedRequest
}

// cutScheme`,
		new: `	return lines[0], apikey.OK
}

// cutScheme`,
		pkg: "./middleware",
		run: `^TestBearer$`,
	},
	{
		name: "middleware: whoami is no way past the limits",
		file: "middleware/whoami.go",
		old:  `		o := g.Check(r.Context(), Request{`,
		new:  `		o, _ := Outcome{}, func(Request) {}; _, o, _ = g.Explain(r.Context(), apikey.Question{Token: r.Header.Get("Authorization")[min(7, len(r.Header.Get("Authorization"))):], Need: apikey.AnyKey()}); _ = (Request{`,
		pkg:  "./middleware",
		run:  "^TestWhoAmI",
	},
	{
		name: "middleware: whoami needs a valid key",
		file: "middleware/whoami.go",
		old:  `		if !o.Allowed() {`,
		new:  `		if !o.Allowed() && o.presented == nil {`,
		pkg:  "./middleware",
		run:  "^TestWhoAmI",
	},
	{
		name: "middleware: a question charges nothing",
		file: "middleware/explain.go",
		old:  `g.limiter.Peek(ctx, demand)`,
		new:  `g.limiter.Take(ctx, demand)`,
		pkg:  "./middleware",
		run:  "^TestExplainIsWhatTheGuardDoes$",
	},
	{
		name: "middleware: a question goes by the order of the decision",
		file: "apikey/explain.go",
		old:  `{StepNetwork, NetworkNotAllowed}, {StepScopes, InsufficientScope}}`,
		new:  `{StepNetwork, InsufficientScope}, {StepScopes, NetworkNotAllowed}}`,
		pkg:  "./middleware",
		run:  "^TestExplainIsWhatTheGuardDoes$",
	},
	{
		name: "a question is no use of a secret",
		file: "apikey/explain.go",
		old:  `		return s.authenticate(ctx, q.Token)`,
		new:  `		return s.Verify(ctx, q.Token)`,
		pkg:  "./middleware",
		run:  "^TestExplainIsWhatTheGuardDoes$",
	},
	{
		name: "middleware: comma-joined credentials are refused",
		file: "middleware/check.go",
		old:  `	if !isB64Token(token) {`,
		new:  `		if token == "" {`,
		pkg:  "./middleware",
		run:  `^TestConformanceHTTP1$/^table:_malformed_or_two_credentials$`,
	},
	{
		name: "middleware: Bearer joined on to another scheme is refused",
		file: "middleware/authorization.go",
		old:  `if scheme == "" || joinsBearer(rest) {`,
		new:  `if scheme == "" {`,
		pkg:  "./middleware",
		run:  `^TestBearer$`,
	},
	{
		name: "middleware: a key is taken from the query string only when that was asked for",
		file: "middleware/options.go",
		old:  `o.Extractors = []Extractor{Bearer()}`,
		new:  `o.Extractors = []Extractor{Bearer(), InsecureQuery("key")}`,
		pkg:  "./middleware",
		run:  `^TestExtractors$`,
	},
	{
		name: "middleware: keys in two places are refused",
		file: "middleware/extractor.go",
		old:  `case c != apikey.OK || code == apikey.OK:`,
		new:  `case c != apikey.OK:`,
		pkg:  "./middleware",
		run:  `^TestExtractors$`,
	},
	{
		name: "middleware: a stranger's X-Forwarded-For is not looked at",
		file: "middleware/client.go",
		old:  `if len(g.o.TrustedProxies) == 0 || !g.trusted(addr) {`,
		new:  `if len(g.o.TrustedProxies) == 0 {`,
		pkg:  "./middleware",
		run:  `^TestClientAddress$`,
	},
	{
		name: "middleware: X-Forwarded-For is read from the right",
		file: "middleware/client.go",
		old:  `for i := len(lines) - 1; i >= 0; i-- {`,
		new:  `for i := range lines {`,
		pkg:  "./middleware",
		run:  `^TestClientAddress$`,
	},
	{
		name: "middleware: the walk stops at the first stranger",
		file: "middleware/client.go",
		old:  `if !addr.IsValid() || !g.trusted(addr) {`,
		new:  `if !addr.IsValid() {`,
		pkg:  "./middleware",
		run:  `^TestClientAddress$`,
	},
	{
		name: "middleware: an unreadable X-Forwarded-For closes",
		file: "middleware/client.go",
		old:  `if !addr.IsValid() || !g.trusted(addr) {`,
		new:  `if addr.IsValid() && !g.trusted(addr) {`,
		pkg:  "./middleware",
		run:  `^TestClientAddress$`,
	},
	{
		name: "middleware: the realm is escaped",
		file: "middleware/challenge.go",
		old:  `quoteEscaper.Replace(realm)`,
		new:  `realm`,
		pkg:  "./middleware",
		run:  `^TestChallengeOfBasic$`,
	},
	{
		name: "middleware: Retry-After is rounded up",
		file: "middleware/outcome.go",
		old:  `	if d%time.Second > 0 {`,
		new:  `	if d%time.Second < 0 {`,
		pkg:  "./middleware",
		run:  `^TestRetryAfter$`,
	},
	{
		name: "middleware: Retry-After is at least one",
		file: "middleware/outcome.go",
		old:  `return max(1, ceilSeconds(o.Decision.RetryAfter))`,
		new:  `return ceilSeconds(o.Decision.RetryAfter)`,
		pkg:  "./middleware",
		run:  `^TestRetryAfter$`,
	},
	{
		name: "middleware: refusals are not stored",
		file: "middleware/refuse.go",
		old: `	h["Cache-Control"] = p.one(noStore)
`,
		new: ``,
		pkg: "./middleware",
		run: `^TestConformanceHTTP1$/^table:_no_key$`,
	},
	{
		name: "middleware: keys that caches do not know of make answers private",
		file: "middleware/door.go",
		old:  `h.Set("Cache-Control", "private")`,
		new:  `_ = h`,
		pkg:  "./middleware",
		run:  `^TestCaches$`,
	},
	{
		name: "middleware: owner-wide limits are in the same step",
		file: "middleware/check.go",
		old:  `		demand.Also = limiter.Demand{`,
		new:  `		_ = limiter.Demand{`,
		pkg:  "./middleware",
		run:  `^TestOwnerLimitsInOneStep$`,
	},
	{
		name: "middleware: counts survive a restart on a store that is a journal",
		file: "middleware/guard.go",
		old:  `own, err := limiter.New(limiter.Options{Journal: journal, `,
		new: `_ = journal
		own, err := limiter.New(limiter.Options{`,
		pkg: "./middleware",
		run: `^TestCountsSurviveARestart$`,
	},
	{
		name: "middleware: a request id is checked before it is repeated",
		file: "middleware/options.go",
		old:  `len(values) == 1 && validRequestID(values[0])`,
		new:  `len(values) > 0`,
		pkg:  "./middleware",
		run:  `^TestRequestID$`,
	},
	{
		name: "middleware: an ability is not reached past the guard's writer",
		file: "middleware/writer.go",
		old: `	case hijack:
`,
		new: `	case hijack && push:
`,
		pkg: "./middleware",
		run: `^TestWriterOffersWhatTheServerDoes$`,
	},
	{
		name: "middleware: the client that still sends gets the answer",
		file: "middleware/cut.go",
		old: `		linger(w)
`,
		new: ``,
		pkg: "./middleware",
		run: `^TestCutUploadIsAnswered`,
	},
	{
		name: "middleware: a refusal of a known key is counted",
		file: "middleware/check.go",
		old: `	o.verified.Count(apikey.OutcomeOf(code), 0, nil)
	return code`,
		new: `	return code`,
		pkg: "./middleware",
		run: `^TestUsageIsCounted$`,
	},
	{
		name: "middleware: a cut does not wait for a client to read the goodbye",
		file: "middleware/hijack.go",
		old: `		c = outer.NetConn()
`,
		new: `		_ = outer
		break
`,
		pkg: "./middleware",
		run: `^TestCutDoesNotWaitForTheClient$`,
	},
	{
		name: "middleware: a refusal on net/http has the fields that adapters are told",
		file: "middleware/challenge.go",
		old: `	set("Cache-Control", noStore)
`,
		new: ``,
		pkg: "./middleware",
		run: `^TestEveryCodeHasItsResponse$`,
	},
	{
		name: "middleware: a key without limits costs net/http no header",
		file: "middleware/door.go",
		old: `		if o.Decision.N > 0 {
			p.announce(w.Header(), &o, c.limit[:])
		}
`,
		new: `		if h := w.Header(); o.Decision.N > 0 {
			p.announce(h, &o, c.limit[:])
		}
`,
		pkg: "./middleware",
		run: `^TestWithoutLimitsTheHeaderIsLeftAlone$`,
	},
}
