// Package storetest decides whether an [apikey.Store] is one: a store's tests
// call [Run], and every rule of the contract becomes a subtest that bears its
// name.
//
//	func TestStore(t *testing.T) {
//		storetest.Run(t, storetest.Harness{
//			Open:     func(t testing.TB) apikey.Store { return open(t) },
//			Notifies: true,
//		})
//	}
//
// It depends on the standard library only. What a store cannot do, its
// [Harness] declares; the suite checks that the declaration is true, so that a
// subtest is skipped for a reason that somebody wrote down.
//
// The suite uses strings of valid UTF-8 without NUL, the most that SQL databases
// take as text.
package storetest
