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
// implementation declares what it cannot do (quotas, shadows, keep counts over a
// restart, have its clock stepped) in [Harness]. Those rules are then skipped,
// and the output says so.
//
// [Log] is the exact limiter of all kinds, against which others are held.
// [Check] and [Worst] look at every window of a history of admissions.
package limitertest
