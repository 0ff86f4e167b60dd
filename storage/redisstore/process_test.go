package redisstore_test

import (
	"os"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/wontopos/latchkey/limiter"
	"github.com/wontopos/latchkey/storage/redisstore"
	"github.com/wontopos/latchkey/storage/redisstore/redistest"
	"github.com/wontopos/latchkey/storage/redisstore/rueidisstore"
	"github.com/wontopos/latchkey/tools/slots"
)

func TestMain(m *testing.M) {
	slots.Main(openProcess)
	redistest.Main(m)
}

// openProcess is the limiter of a process that slots.Run starts.
func openProcess(config slots.Config) (limiter.Settler, error) {
	c, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{config.Address}, DisableCache: true})
	if err != nil {
		return nil, err
	}
	l, err := rueidisstore.NewLimiter(c, redisstore.LimiterOptions{Prefix: config.Name, Timeout: 5 * time.Second, Logger: quiet})
	if err != nil {
		return nil, err
	}
	l.SlotsLast(config.Life)
	return l, nil
}

// The slots of a process that dies are free after SlotLife. One that stands
// still or loses the server leads above N by what it had, and counts again when
// it is back.
func TestRequestsInProgressOfProcessesThatAreGone(t *testing.T) {
	t.Parallel() // it mostly sleeps
	life := 2 * time.Second
	if os.Getenv("LATCHKEY_LONG") != "" {
		life = limiter.SlotLife
	}
	slots.Run(t, "tcp", redistest.Shared(t).Addr(), slots.Config{Name: own().Prefix, Life: life})
}
