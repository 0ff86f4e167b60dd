package engine

import (
	"github.com/wontopos/latchkey/storage"
)

// Job is work that a request discovered, to be done after it, because requests
// never write: the current secret was used for the first time, or its digest is
// under an old pepper.
type Job struct {
	KeyID  string
	Secret uint32 // number of the current secret that was used
	From   storage.Digest
	To     storage.Digest // under the newest pepper; zero if there is nothing to redigest
}

// Jobs returns the jobs to be done. Of one that fails, [Engine.Forget] the key:
// its next use discovers it again.
func (eng *Engine) Jobs() <-chan Job { return eng.jobs }

// noteUse queues the work that the use of a current secret requires. If the
// queue is full, the marks stay, and a later request queues the work.
func (eng *Engine) noteUse(c *credential, text string) {
	job := Job{KeyID: c.snap.key.ID, Secret: c.principal.Secret(), From: c.digest}
	const due = firstUse | redigest
	marks := c.marks.And(^uint32(due)) & due
	if marks&redigest != 0 {
		t, _ := eng.format.Parse(text) // parsed again, because a secret hardly ever needs a new digest
		job.To = eng.digest.Sign(t)
	}
	if marks == 0 {
		return
	}
	select {
	case eng.jobs <- job:
	default:
		c.marks.Or(marks)
	}
}
