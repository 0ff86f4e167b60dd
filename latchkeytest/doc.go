// Package latchkeytest is for the tests of programs that guard their API with
// package middleware: a guard in memory, keys that may do what a test needs, and
// keys that have ended or used up their limits.
//
//	func TestListThings(t *testing.T) {
//		guard := latchkeytest.NewGuard(t, latchkeytest.Options{})
//		key := latchkeytest.CreateKey(t, guard, latchkey.NewKey{Scopes: []string{"things:read"}})
//		w := httptest.NewRecorder()
//		newAPI(guard).ServeHTTP(w, key.Request("GET", "/v1/things", nil))
//		if w.Code != http.StatusOK {
//			t.Errorf("%d: %s", w.Code, w.Body)
//		}
//	}
//
// A handler that is tested without a guard gets its principal from [Principal].
//
// All of it works in parallel tests and in the bubbles of testing/synctest, where
// windows and expiries take no time. Pass the innermost testing.TB, in a bubble
// the bubble's: what a guard started ends with that test. Nothing is logged, and
// whatever fails ends the test with t.Fatal, so call these functions from the
// test's own goroutine, as with [testing.T.FailNow].
//
// The package depends on the standard library and this module only.
package latchkeytest
