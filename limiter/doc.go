// Package limiter decides requests against exact limits, several at once:
// sliding windows, quotas of calendar periods, credits, and requests in
// progress.
//
// # The guarantee
//
// For every limit of a subject, whatever the arrivals: what a window admits in
// any interval of its length costs at most N, what a quota admits in one period
// costs at most N, and at most N requests are in progress. All limits of a
// request are decided and charged in one atomic step or not at all, and a
// refused request is not charged anywhere. [Decision.RetryAfter] is exact: a
// client that is alone with its subject is admitted after it, and not before.
//
// Windows of at most 128 are exact in both directions: a hit leaves exactly one
// window after it was admitted. So 60 a minute, sent one a second, are never
// refused, and neither is one a day, sent once a day. In a larger window a hit
// counts at most one segment longer.
//
// The usual approximations do not give this. A fixed window admits nearly 2N
// around its edge. A counter weighted over two buckets assumes that the hits of
// the last bucket were spread evenly, and admits nearly 2N when they were not.
//
// # How each kind counts
//
// A window of at most 128 keeps the instant and the cost of each charge. Of an
// instant it keeps the low bytes, as many as it takes to tell those of one window
// apart, and costs of 1 take no room: 60 a minute take 300 bytes when all are
// used.
//
// A larger window of length W is divided into k segments of s = W/k: 60 for
// windows of up to an hour, 144 for longer ones, so one second for a minute and
// ten minutes for a day. Segment i spans [i*s, (i+1)*s). A hit in segment i counts
// while the current segment is one of i to i+k, so a ring has k+1 counters. A
// hit counts for more than k*s >= W, hence the guarantee, and for at most W+s.
// That last segment is the price: at sustained overload such a window admits
// k/(k+1) of what a log of all hits would, 99.3 percent for a day.
//
// A quota is one total, from the first instant of its period to its end. A
// limit on requests in progress keeps their ids.
//
// Whatever the kind, a subject keeps for each limit until when nothing leaves,
// and what counts. A decision reads these two words and compares; the rest is
// touched when something is charged to a small window, or leaves. What describes
// the limits is shared by all subjects that have the same. A key on 60 a minute
// and 1,000 a day takes 161 bytes of heap when it has been used once, and 593
// when it has used all of both.
//
// # In one process
//
// [Window] keeps the counts in memory, with a mutex for each subject, a
// monotonic clock, and no goroutine. Take of a known subject allocates nothing,
// but where a count needs more room than ever before, and takes no other lock.
// It finds the subject's bucket in a table that is read without a lock: one cache
// line, then the bucket's two. A bucket found this way is a hint, confirmed under
// the bucket's mutex, where a bucket that was removed says so. If the bucket is
// not found, it is looked up again under the mutex of the shard, one of 64, which
// is for making and removing buckets. The subjects of one request are locked in
// the order of their names.
//
// Each call for a new subject pays for the inspection of four others, and every
// 64th call for a known one inspects eight, so idle subjects are removed while
// the rest work. A subject with a request in progress, or with something counted
// in a quota, is not idle: credits stay in memory.
//
// # Changed limits
//
// A limit is known by its name and its shape: the length of a window, the period
// and zone of a quota ([apikey.Limit.Same]). When the limits of a subject change,
// one that stays keeps its count, which is compared with a changed N from the
// next request on. A new one starts from zero. A request does not charge limits
// that it does not name; they are kept until they are empty, in case they come
// back. A subject may have 64 limits in use at a time: its own, and those of the
// routes that it asks for.
//
// When N passes 128, a window changes its way of counting. What it keeps is dated
// at the latest time that it can have had, so it may be fuller than the truth for
// a segment, and never emptier.
//
// # Restarts
//
// With a [Journal] the counts outlive the process, but for requests in progress,
// which end with it. Before a hit is admitted, the journal durably holds the
// counts and a reservation that covers the hit and some that follow
// ([Options.Reserve]), so not every hit is written. The next process assumes that
// the reservation was used, at the time when that process itself started. So
// after a kill -9 nothing is admitted in excess, and each limit loses at most one
// reservation, for at most one window or period; credits lose it for good.
// [Window.Close] writes exact counts: a clean restart loses nothing and adds
// nothing. A reservation lasts for one length of the longest window, and not past
// the period of a quota; its record is kept for as long as it counts, and 100
// years for credits.
//
// If a record cannot be decoded, the limits of its subject start full, as if
// used up when the process started, and an error is logged. The guarantee holds,
// and windows and quotas recover in their time; credits have to be topped up. To
// waive the guarantee, delete the record before the start.
//
// # In several processes
//
// A limiter on a database decides for all processes, and the guarantee holds over
// all of them. [Shared] goes in front of it, one in each process: it bounds each
// call, remembers refusals, and decides by a share of each limit while the
// database is away. A process renews the slots of its requests in progress; those
// of one that has died are free after [SlotLife].
//
// # Settling
//
// A caller may have to charge a request before it knows whether, or at what cost,
// it is served. It settles the request afterwards ([Settler]). [Decision.At] says
// when the request was charged, and so where it counts: at that instant or in
// that segment of a window, in that period of a quota. Giving back takes the
// difference out of there, and never more than is there. So it frees what the
// request took and nothing that came later. A higher cost is added there,
// whatever N is, and nothing that has left its window is charged again. The
// journal is told of a higher cost before Settle returns, and not of what is
// given back: until its next record a crash charges that again, which admits
// less and never more.
//
// # Limits of the guarantee
//
//   - In a window above 128 a hit may count one segment longer than the window.
//   - What is settled above what it was taken at may exceed N. It is counted all
//     the same.
//   - Between two processes only the wall clock tells the time. If it is set
//     forward across a restart, older hits leave that much early. If it is set
//     back, they stay at most that much longer, and a period lasts until the clock
//     reaches its end. While a process runs, clock steps have no effect.
//   - Without a Journal, all subjects start from zero after a restart.
//   - One process per Journal, and one Window per process for a subject.
//     Several processes that share a limit need a limiter on a shared store.
package limiter
