// Package limiter decides requests against exact sliding windows, several at
// once.
//
// # The guarantee
//
// For every [Limit] of a subject: the hits admitted in any interval of the
// window's length cost at most N in total, whatever the arrivals. All windows
// of a request are decided and charged in one atomic step or not at all, and a
// refused request is not charged anywhere. [Decision.RetryAfter] is exact: a
// client that is alone with its subject is admitted after it, and not before.
//
// The usual approximations do not give this. A fixed window admits nearly 2N
// around its edge. A counter weighted over two buckets assumes that the hits of
// the last bucket were spread evenly, and admits nearly 2N when they were not.
//
// # The algorithm
//
// A window of length W is divided into k segments of s = W/k: 60 for windows of
// up to an hour, 144 for longer ones, so one second for a minute and ten
// minutes for a day. Segment i spans [i*s, (i+1)*s). A hit in segment i counts
// while the current segment is one of i to i+k, so a ring has k+1 counters. A
// hit counts for more than k*s >= W, hence the guarantee, and for at most W+s.
// That last segment is the price: at sustained overload a window admits k/(k+1)
// of what a log of all hits would, 98.3 percent for a minute.
//
// A ring also keeps the sum of its counters, the newest of them and the
// position of the oldest hit, so that a decision reads and writes a few words
// however many segments there are. The other counters are touched once per
// segment, when the ring rolls on. Counters are as wide as N needs. A key on 60
// a minute and 1,000 a day takes 501 bytes of heap in total: 128 for its
// bucket, including the name, 352 for its counters, and a share of the table
// that finds it.
//
// # In one process
//
// [Window] keeps the rings in memory, with a mutex for each subject, a
// monotonic clock, and no goroutine. Take of a known subject allocates nothing
// and takes no other lock. It finds the subject's bucket in a table that is
// read without a lock: one cache line, then the bucket's two. A bucket found
// this way is a hint, confirmed under the bucket's mutex, where a bucket that
// was removed says so. If the bucket is not found, it is looked up again under
// the mutex of the shard, one of 64, which is for making and removing buckets.
// The subjects of one request are locked in the order of their names.
//
// Each call for a new subject pays for the inspection of four others, and every
// 64th call for a known one inspects eight, so idle subjects are removed while
// the rest work.
//
// # Changed limits
//
// Windows are identified by their length. When the limits of a subject change,
// a window that stays keeps its count, which is compared with a changed N from
// the next request on. A new window is seeded from the one known window that is
// most like it (the shortest of the longer ones, otherwise the longest), with
// each hit dated at the latest time that it can have had. So it may start
// fuller than the truth, for at most its own length; it starts emptier only
// where no window remembered. A request does not charge a window that it no
// longer names; that window is kept until it is empty, in case it comes back.
//
// # Restarts
//
// With a [Journal] the counts outlive the process. Before a hit is admitted,
// the journal durably holds the counts and a reservation that covers the hit
// and some that follow ([Options.Reserve]), so not every hit is written. The
// next process assumes that the reservation was used, at the time when that
// process itself started. So after a kill -9 nothing is admitted in excess, and
// each subject loses at most one reservation, for at most one window.
// [Window.Close] writes exact counts: a clean restart loses nothing and adds
// nothing. A reservation lasts for one length of the longest window and its
// record for two, so no record expires while it is needed.
//
// If a record cannot be decoded, the windows of its subject start full, as if
// used up when the process started, and an error is logged. The guarantee holds
// and the subject recovers within its windows. To waive the guarantee, delete
// the record before the start.
//
// # In several processes
//
// [Escrow] wraps a limiter that several processes share, and reserves small
// blocks there, so that most decisions need no round trip. A block is charged
// when it is reserved, and used before the segment of its charge ends. Because
// the hits of a segment leave together, the shared limiter counts each use
// exactly as if it had been asked for it, and the guarantee holds over all
// processes. What is not used in time is lost, at most an eighth of N.
// [NewEscrow] says how long a block may be held. A segment is one second for a
// minute: blocks pay off for subjects with several requests in that time, and
// cost the others nothing.
//
// # Settling
//
// A caller may have to charge a request before it knows whether, or as what, it
// is served. It settles the request afterwards ([Settler]). [Decision.At] says
// when the request was charged, and so in which segment of each window it
// counts. Giving back takes the cost out of that segment, if the window still
// has it, and never more than the segment holds. So it frees what the request
// took and nothing that came later. A higher cost is decided as one charge of
// now in place of the old one. The journal is not told what is given back:
// until its next record a crash charges that again, which admits less and never
// more.
//
// # Limits of the guarantee
//
//   - A hit may count one segment longer than its window.
//   - Between two processes only the wall clock tells the time. If it is set
//     forward across a restart, older hits leave that much early. If it is set
//     back, they stay at most that much longer. While a process runs, clock
//     steps have no effect.
//   - Without a Journal, all subjects start from zero after a restart.
//   - One process per Journal, and one Window per process for a subject.
//     Several processes that share a limit need a limiter on a shared store.
package limiter
