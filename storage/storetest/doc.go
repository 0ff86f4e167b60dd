// Package storetest decides whether a [storage.Store] is correct: a store's
// tests call [Run], and every rule of the contract becomes a subtest with the
// rule as its name.
//
//	func TestStore(t *testing.T) {
//		storetest.Run(t, storetest.Harness{
//			Open:     func(t testing.TB) storage.Store { return open(t) },
//			Notifies: true,
//		})
//	}
//
// It depends only on the standard library. A store's [Harness] declares what
// the store cannot do. The suite checks that the declaration is true, so a
// subtest is skipped only for a reason that somebody wrote down.
//
// The suite uses strings of valid UTF-8 without NUL, the most that SQL
// databases accept as text.
package storetest
