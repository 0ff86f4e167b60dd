package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// lastFigures tell what was still accepted when a key was revoked.
type lastFigures struct {
	store            string
	revokes, accepts int
	refused, broken  int       // with 401; with something else, or by the end of the connection
	late             int       // accepted though they began after Revoke had returned
	revoke           []float64 // how long Revoke took, in ns
	last             []float64 // from its call to the end of the last request that was accepted
}

// lastTries is how often measureLast revokes in a round: it is quick, and the
// window that it looks into is small.
const lastTries = 5

// measureLast revokes keys while clients hammer them.
func (s *revokeServer) measureLast(shape revokeShape) (f lastFigures, err error) {
	for range lastTries * shape.rounds {
		if err := s.lastRound(shape, &f); err != nil {
			return f, err
		}
	}
	return f, nil
}

// attempt is one request of a client.
type attempt struct {
	start, end time.Time
	status     int // 0: the connection ended before an answer
}

func (s *revokeServer) lastRound(shape revokeShape, f *lastFigures) error {
	id, auth, err := s.newKey()
	if err != nil {
		return err
	}
	var (
		clients sync.WaitGroup
		stop    = make(chan struct{})
		logs    = make([][]attempt, shape.clients)
		errs    = make([]error, shape.clients)
		answers atomic.Int64
	)
	for i := range shape.clients {
		clients.Go(func() { logs[i], errs[i] = s.hammer(auth, stop, &answers) })
	}
	err = reaches(&answers, shape.clients)
	time.Sleep(shape.hammer)
	called, returned, failed := s.revoke(id)
	time.Sleep(shape.hammer)
	close(stop)
	clients.Wait()
	if err = errors.Join(append(errs, err, failed)...); err != nil {
		return err
	}

	return f.count(logs, called, returned)
}

// count takes in what the clients of one round saw.
func (f *lastFigures) count(logs [][]attempt, called, returned time.Time) error {
	var last time.Time
	for _, log := range logs {
		for _, a := range log {
			switch {
			case a.status == http.StatusOK:
				f.accepts++
				if a.start.After(returned) {
					f.late++
				}
				if a.end.After(last) {
					last = a.end
				}
			case a.end.Before(called):
				return fmt.Errorf("a good key was answered with %d", a.status)
			case a.status == http.StatusUnauthorized:
				f.refused++
			default:
				f.broken++
			}
		}
	}
	if last.IsZero() {
		return errors.New("no request was accepted")
	}
	f.revokes++
	f.revoke = append(f.revoke, float64(returned.Sub(called)))
	f.last = append(f.last, float64(max(0, last.Sub(called))))
	return nil
}

// hammer sends one request after the other, and counts the answers. A connection
// that was cut is replaced.
func (s *revokeServer) hammer(auth string, stop <-chan struct{}, answers *atomic.Int64) (log []attempt, err error) {
	var c *revokeClient
	defer func() {
		if c != nil {
			_ = c.conn.Close()
		}
	}()
	for {
		select {
		case <-stop:
			return log, nil
		default:
		}
		if c == nil {
			if c, err = s.dial(auth); err != nil {
				return log, err
			}
		}
		a := attempt{start: time.Now()}
		status, keep, err := c.get()
		if a.end, a.status = time.Now(), status; err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, syscall.ECONNRESET) {
				return log, err
			}
			a.status = 0
		}
		log = append(log, a)
		answers.Add(1)
		if !keep {
			_ = c.conn.Close()
			c = nil
		}
	}
}

const lastNote = `%d clients on keep-alive connections send requests with one key, each as soon as it has its answer, while the key is revoked;
%d keys in turn. Time is the client's, which is in this process. "Too late" is an answer 200 to a request that began after Revoke
had returned: there must be none. A request that began before and was decided before may still be answered. "Otherwise" are answers that
are neither 200 nor 401, and connections that ended without one.

What this does not show: a network, several instances (there the store's notices or MaxStale set the bound).`

func reportLasts(out *report, shape revokeShape, all []lastFigures) {
	if len(all) == 0 {
		return
	}
	const title = "revoke: the last accept"
	out.tables = append(out.tables, table{
		title: title, note: fmt.Sprintf(lastNote, shape.clients, all[0].revokes),
		columns: []string{"store", "accepted", "refused", "otherwise", "too late", "Revoke takes", "from its call to the last accept's end", "longest"},
	})
	for _, f := range all {
		longest := 0.0
		for _, x := range f.last {
			longest = max(longest, x)
		}
		out.row(title, f.store, strconv.Itoa(f.accepts), strconv.Itoa(f.refused), strconv.Itoa(f.broken), strconv.Itoa(f.late),
			millis(median(f.revoke)), millis(median(f.last)), millis(longest))
		out.goal(f.late == 0, "requests accepted that began after Revoke had returned", fmt.Sprintf("%s, %d revokes", f.store, f.revokes),
			strconv.Itoa(f.late), "0")
	}
}
