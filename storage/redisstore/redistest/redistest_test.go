package redistest_test

import (
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/wontopos/latchkey/storage/redisstore/redistest"
)

func TestAServerStartsEmptyAgain(t *testing.T) {
	s := redistest.Start(t)
	c := s.Client(t)
	if err := c.Set(t.Context(), "key", "value", 0).Err(); err != nil {
		t.Fatal(err)
	}
	s.Kill()
	s.Start(t)
	if err := c.Get(t.Context(), "key").Err(); err != redis.Nil {
		t.Errorf("after a kill the server still has the key: %v", err)
	}
}
