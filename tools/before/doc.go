// Package before shows that the data of the version before is safe: its tests
// open a directory of badgerstore and a database of pgstore that an older version
// wrote, with the code of today, and check everything in them: each key answers
// as it did, lists, searches, audit trail and usage are whole, used limits stay
// used, rotations can be finished, and all of it is still there after a restart.
//
// The fixtures are storage/badgerstore/testdata/format3 and
// storage/pgstore/testdata/schema5.sql. The JSON file beside each holds the
// tokens and what the version that wrote it said about its keys. Fixtures are
// never rewritten: whoever changes a format adds one, written by the last version
// of the format before.
//
// beside.sh runs instances of a version before and of today on one database.
package before
