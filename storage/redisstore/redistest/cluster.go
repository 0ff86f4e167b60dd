package redistest

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// Cluster starts a cluster of three primaries.
func Cluster(t testing.TB) []*Server {
	t.Helper()
	const slots = 16384
	ctx := context.Background()
	var nodes []*Server
	for i := range 3 {
		s := Start(t, "--cluster-enabled", "yes", "--cluster-node-timeout", "2000")
		nodes = append(nodes, s)
		c := s.Client(t)
		must(t, c.ClusterAddSlotsRange(ctx, i*slots/3, (i+1)*slots/3-1).Err())
		must(t, c.Do(ctx, "cluster", "set-config-epoch", i+1).Err())
		must(t, c.ClusterMeet(ctx, "127.0.0.1", strconv.Itoa(nodes[0].port)).Err())
	}
	for _, s := range nodes {
		c := s.Client(t)
		must(t, eventually("the cluster is complete", func() error {
			info, err := c.ClusterInfo(ctx).Result()
			if err == nil && (!strings.Contains(info, "cluster_state:ok") || !strings.Contains(info, "cluster_known_nodes:3")) {
				err = errors.New(info)
			}
			return err
		}))
	}
	return nodes
}

// Watched is a primary with a replica, and a sentinel that makes the replica
// primary when the primary is away for half a second.
type Watched struct {
	Primary, Replica, Sentinel *Server
}

// Name is the name of the primary for the sentinel.
const Name = "limits"

// Sentinel starts a primary, a replica and a sentinel.
func Sentinel(t testing.TB) Watched {
	t.Helper()
	ctx := context.Background()
	var w Watched
	w.Primary = Start(t)
	w.Replica = Start(t, "--replicaof", "127.0.0.1 "+strconv.Itoa(w.Primary.port), "--repl-diskless-sync-delay", "0")
	replica := w.Replica.Client(t)
	must(t, eventually("the replica follows", func() error {
		info, err := replica.Info(ctx, "replication").Result()
		if err == nil && !strings.Contains(info, "master_link_status:up") {
			err = errors.New(info)
		}
		return err
	}))
	s := &Server{port: freePort(t), dir: t.TempDir()}
	s.args = []string{write(t, s.dir, "sentinel.conf", fmt.Sprintf(`port %d
bind 127.0.0.1
dir %s
sentinel monitor %[3]s 127.0.0.1 %[4]d 1
sentinel down-after-milliseconds %[3]s 500
sentinel failover-timeout %[3]s 3000
`, s.port, s.dir, Name, w.Primary.port)), "--sentinel"}
	s.Start(t)
	t.Cleanup(func() { s.Kill() })
	w.Sentinel = s
	sentinel := s.Client(t)
	must(t, eventually("the sentinel knows the replica", func() error {
		all, err := sentinel.Do(ctx, "sentinel", "replicas", Name).Slice()
		if err == nil && len(all) == 0 {
			err = errors.New("no replica")
		}
		return err
	}))
	return w
}
