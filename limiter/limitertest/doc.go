// Package limitertest is the conformance suite of [limiter.Limiter]. It needs
// only the standard library, so that an implementation outside this module can
// run it:
//
//	func TestLimiter(t *testing.T) {
//		limitertest.Run(t, limitertest.Harness{
//			New:     func(t testing.TB) limiter.Limiter { ... },
//			Virtual: true, // or Unit: 2*time.Second against a real server
//		})
//	}
//
// Each rule of the contract is a subtest with the rule as its name. An
// implementation declares what it cannot do (keep counts over a restart, have
// its clock stepped) by leaving a field of [Harness] empty. Those rules are
// then skipped, and the output says so.
//
// [Check] and [Worst] are the oracle: they look at every window of a history of
// admissions. [Log] is the exact limiter against which others are measured.
package limitertest
