// Package histories shows that the life of a key is linearizable: its tests let
// clients that know nothing of each other create, verify, read and change keys at
// the same time, write down when each call began and how it returned, and let
// porcupine search for an order of the calls that explains every answer.
//
// The stores between are slowed down at random, before and after each read and
// each commit, and between a commit and its announcement; now and then one loses
// the answer to a change. The cache is as small as it gets, and emptied all the
// time. So fills are overtaken by changes in every history.
//
// What is held, exactly:
//
//   - The store is linearizable: every change, every refusal of one, and every Get
//     takes effect at one instant between its call and its return.
//   - What an instance verifies by (its view) follows the store: every Verify
//     answers by a state of the key that the store has had, and never by an
//     earlier one than a Verify before it on the same instance.
//   - When a change returns nil, also one that found its work done by somebody
//     else, the view of every instance has come to it; on PostgreSQL, also to all
//     changes of other keys that were committed before.
//   - Hence, to those who change and verify with one instance, a key is one atomic
//     object: the same histories, without what reads the store alone, are checked
//     once more by a model that knows no views. With several instances it is not:
//     while a change is on its way, one may refuse the key and another then still
//     admit it.
//   - A change whose answer was lost may happen at any later time, or never.
//
// Get reads the store, and so may be ahead of Verify by changes that have not
// returned yet; a refusal of a change likewise. An instance that is asked for a
// key before another process creates it goes on to say that there is none until
// the feed has brought it: a key cannot be asked for so early, because nobody
// knows its id, unless the creation is a part of a longer transaction.
//
// A call that answers apikey.Unavailable says nothing and breaks no rule; the
// tests see that those are few.
//
// A few short histories, the long form (200 of 2,000 operations on each store), and
// one history over and over:
//
//	GOWORK=off go test -race .
//	LATCHKEY_LONG=1 GOWORK=off go test -v -timeout 60m .
//	GOWORK=off go test -run '/^memory$' . -args -history=3
package histories
