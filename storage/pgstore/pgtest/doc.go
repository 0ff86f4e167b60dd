// Package pgtest runs PostgreSQL for tests: real servers, one for each test
// binary, that nobody has to install a service for and that end with the test.
//
//	func TestMain(m *testing.M) { pgtest.Main(m) }
//
//	func TestStore(t *testing.T) {
//		store, err := pgstore.Open(t.Context(), pgtest.DSN(t), pgstore.Options{AutoMigrate: true})
//		…
//	}
//
// It looks for the server's programs on PATH and where Debian, Red Hat and
// Homebrew put them. Without them, and on Windows, a test is skipped, and says so. With
// LATCHKEY_TEST_PG_DSN set, [DSN] makes its databases on that server instead.
package pgtest
