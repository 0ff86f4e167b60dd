// Package wire breaks the network between a process and its server, for tests
// that watch both from outside.
package wire

import (
	"context"
	"net"
	"sync"
)

// Wire is a proxy in front of a server. It can be cut as a network is: nothing
// is refused or reset, nothing arrives.
type Wire struct {
	listener         net.Listener
	network, address string

	mu     sync.Mutex
	healed chan struct{} // closed when bytes pass again; nil while they do
	lossy  bool          // what is sent meanwhile is lost, and else only late
	links  map[*link]bool
}

// link is a connection through the proxy. One that has lost bytes delivers
// nothing any more: a stream has no holes.
type link struct {
	client, server net.Conn
	lost           bool // guarded by the wire
}

// New returns a wire to the server at an address, which is asked for with every
// connection.
func New(network, address string) (*Wire, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	w := &Wire{listener: l, network: network, address: address, links: make(map[*link]bool)}
	go w.run()
	return w, nil
}

// Addr is where a process connects to instead, over TCP.
func (w *Wire) Addr() string { return w.listener.Addr().String() }

// Close lets nobody connect any more. Connections stay.
func (w *Wire) Close() error { return w.listener.Close() }

func (w *Wire) run() {
	for {
		conn, err := w.listener.Accept()
		if err != nil {
			return
		}
		go w.join(&link{client: conn})
	}
}

// Cut makes the wire swallow everything. With lossy, connections that lost
// something are closed by Heal; without, everything arrives late, as from a
// network that queues.
func (w *Wire) Cut(lossy bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.healed, w.lossy = make(chan struct{}), lossy
}

// Heal lets bytes pass again.
func (w *Wire) Heal() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.healed == nil {
		return
	}
	close(w.healed)
	w.healed = nil
	for l := range w.links {
		if l.lost {
			l.close()
		}
	}
}

// admit decides about bytes that arrived: they pass, or are lost, or have to
// wait until healed is closed.
func (w *Wire) admit(l *link, n int) (pass bool, healed <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case l.lost:
		return false, nil
	case w.healed == nil:
		return true, nil
	case w.lossy && n > 0:
		l.lost = true
		return false, nil
	default:
		return false, w.healed
	}
}

// join carries bytes both ways until an end closes.
func (w *Wire) join(l *link) {
	w.mu.Lock()
	w.links[l] = true
	healed := w.healed
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.links, l)
		l.close()
	}()
	if healed != nil {
		<-healed // a connection that is made meanwhile gets no answer
	}
	server, err := new(net.Dialer).DialContext(context.Background(), w.network, w.address)
	if err != nil {
		return // the server is not there: then the connection is closed
	}
	w.mu.Lock()
	l.server = server
	w.mu.Unlock()
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.pump(l, l.client, server)
	}()
	w.pump(l, server, l.client)
	<-done
}

// pump carries bytes one way. Nor does the end of a connection arrive while the
// wire is cut.
func (w *Wire) pump(l *link, to, from net.Conn) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		pass, healed := w.admit(l, n)
		for healed != nil {
			<-healed
			pass, healed = w.admit(l, n)
		}
		if pass && n > 0 {
			if _, err := to.Write(buffer[:n]); err != nil {
				break
			}
		}
		if err != nil {
			break
		}
	}
	w.mu.Lock()
	cut := w.healed
	w.mu.Unlock()
	if cut != nil {
		<-cut
	}
	_, _ = to.Close(), from.Close()
}

// close ends both connections; the wire is locked.
func (l *link) close() {
	_ = l.client.Close()
	if l.server != nil {
		_ = l.server.Close()
	}
}
