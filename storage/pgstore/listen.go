package pgstore

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
)

// The channel is the same for all schemas of a database, because a name derived
// from a schema's name may be too long; the payload says which schema it is.
const channel = "latchkey_feed"

const (
	firstPause = 100 * time.Millisecond
	longPause  = 30 * time.Second
	// silence is how long a connection may be silent before it is checked, and
	// patience how long the check may take.
	silence  = 30 * time.Second
	patience = 10 * time.Second
)

// Await implements [storage.Feed]. Changes are pushed by LISTEN, on a connection
// beside the pool that the first call opens. While that connection is lost,
// Await waits until there is a new one and then returns: something may have
// been missed. If a change has come since the last [Store.Poll] of this store
// began, Await returns at once.
func (s *Store) Await(ctx context.Context) error {
	ctx, leave, err := s.life.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if s.listener == nil {
		return storage.ErrNoPush
	}
	select {
	case <-s.listener.news():
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-s.life.closing:
		return apikey.Closed
	}
}

// listener owns the connection and the goroutine that reads from it.
type listener struct {
	config *pgxpool.Config
	schema string
	log    *slog.Logger

	ctx     context.Context // ends with stop
	cancel  context.CancelFunc
	start   sync.Once
	running sync.WaitGroup

	pause time.Duration // before the second attempt to connect
	back  chan struct{} // the server answers again

	mu    sync.Mutex
	woken chan struct{} // closed by news for which no poll has looked yet
	fresh bool          // woken is closed
	away  bool          // the last poll failed
}

func newListener(config *pgxpool.Config, schema string, log *slog.Logger) *listener {
	l := &listener{config: config, schema: schema, log: log, pause: firstPause, back: make(chan struct{}, 1), woken: make(chan struct{})}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	return l
}

// news returns a channel that is closed when there is something to poll for.
// The store's life makes sure that stop does not come before the goroutine is
// counted.
func (l *listener) news() <-chan struct{} {
	l.start.Do(func() { l.running.Go(l.run) })
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.woken
}

// wake ends every Await: those that wait now and, until the next poll, later
// ones.
func (l *listener) wake() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.fresh {
		l.fresh = true
		close(l.woken)
	}
}

// polled says that a poll has begun: earlier news is no longer news.
func (l *listener) polled() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fresh {
		l.fresh, l.woken = false, make(chan struct{})
	}
}

// answered records whether a poll succeeded. The first success after a failure
// ends the pause before the next attempt to connect, so that changes are pushed
// again as soon as the server is back. Further successes do not: a server that
// answers polls but refuses LISTEN should not be tried once per poll.
func (l *listener) answered(ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if ok && l.away {
		select {
		case l.back <- struct{}{}:
		default:
		}
	}
	l.away = !ok
}

func (l *listener) stop() {
	l.cancel()
	l.running.Wait()
}

// run listens until stop, and reconnects whenever the connection is lost.
func (l *listener) run() {
	pause, complained := l.pause, false
	for {
		listened, err := l.listen()
		if l.ctx.Err() != nil {
			return
		}
		if listened {
			pause, complained = l.pause, false
		}
		if !complained { // once per outage
			l.log.Warn("pgstore: the connection that listens for changes is lost; they are found by polling until it is there again", "error", advised(err))
			complained = true
		}
		select {
		case <-time.After(pause/2 + rand.N(pause/2)):
			pause = min(2*pause, longPause)
		case <-l.back:
			pause = l.pause
		case <-l.ctx.Done():
			return
		}
	}
}

// listen returns when the connection is lost. listened says whether it was ever
// established.
func (l *listener) listen() (listened bool, err error) {
	connecting, cancel := context.WithTimeout(l.ctx, patience)
	defer cancel()
	conn, err := l.connect(connecting)
	if err != nil {
		return false, err
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(l.ctx), time.Second)
		defer cancel()
		_ = conn.Close(closing)
	}()
	if _, err := conn.Exec(connecting, "LISTEN "+channel); err != nil {
		return false, err
	}
	l.wake() // for changes while nobody listened
	for {
		if err := l.next(conn); err != nil {
			return true, err
		}
	}
}

// connect makes a connection like those of the pool: with a new password if the
// pool makes one for each connection, and with notifications for nobody else.
func (l *listener) connect(ctx context.Context) (*pgx.Conn, error) {
	config := l.config.ConnConfig.Copy()
	config.OnNotification = nil
	if l.config.BeforeConnect != nil {
		if err := l.config.BeforeConnect(ctx, config); err != nil {
			return nil, err
		}
	}
	return pgx.ConnectConfig(ctx, config)
}

// next waits for one notification, or checks that the server is still there.
func (l *listener) next(conn *pgx.Conn) error {
	waiting, cancel := context.WithTimeout(l.ctx, silence)
	defer cancel()
	n, err := conn.WaitForNotification(waiting)
	switch {
	case err == nil:
		if n.Payload == l.schema {
			l.wake()
		}
		return nil
	case l.ctx.Err() != nil || !errors.Is(waiting.Err(), context.DeadlineExceeded):
		return err
	}
	asking, cancel := context.WithTimeout(l.ctx, patience)
	defer cancel()
	return conn.Ping(asking)
}
