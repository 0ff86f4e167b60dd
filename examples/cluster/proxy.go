//go:build unix

package main

import (
	"context"
	"net"
	"sync"
)

// proxy is the wire between an instance and the database. It can be cut as a
// network is: nothing is refused or reset, nothing arrives.
type proxy struct {
	net.Listener
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
	lost           bool // guarded by the proxy
}

func newProxy(network, address string) (*proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &proxy{Listener: l, network: network, address: address, links: make(map[*link]bool)}
	go p.run()
	return p, nil
}

func (p *proxy) run() {
	for {
		conn, err := p.Accept()
		if err != nil {
			return
		}
		go p.join(&link{client: conn})
	}
}

// cut makes the wire swallow everything. With lossy, connections that lost
// something are closed by heal; without, everything arrives late, as from a
// network that queues.
func (p *proxy) cut(lossy bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.healed, p.lossy = make(chan struct{}), lossy
}

func (p *proxy) heal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.healed == nil {
		return
	}
	close(p.healed)
	p.healed = nil
	for l := range p.links {
		if l.lost {
			l.close()
		}
	}
}

// admit decides about bytes that arrived: they pass, or are lost, or have to
// wait until healed is closed.
func (p *proxy) admit(l *link, n int) (pass bool, healed <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case l.lost:
		return false, nil
	case p.healed == nil:
		return true, nil
	case p.lossy && n > 0:
		l.lost = true
		return false, nil
	default:
		return false, p.healed
	}
}

// join carries bytes both ways until an end closes.
func (p *proxy) join(l *link) {
	p.mu.Lock()
	p.links[l] = true
	healed := p.healed
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.links, l)
		l.close()
	}()
	if healed != nil {
		<-healed // a connection that is made meanwhile gets no answer
	}
	server, err := new(net.Dialer).DialContext(context.Background(), p.network, p.address)
	if err != nil {
		return // the database is not there: then the connection is closed
	}
	p.mu.Lock()
	l.server = server
	p.mu.Unlock()
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.pump(l, l.client, server)
	}()
	p.pump(l, server, l.client)
	<-done
}

// pump carries bytes one way. Nor does the end of a connection arrive while the
// wire is cut.
func (p *proxy) pump(l *link, to, from net.Conn) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		pass, healed := p.admit(l, n)
		for healed != nil {
			<-healed
			pass, healed = p.admit(l, n)
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
	p.mu.Lock()
	cut := p.healed
	p.mu.Unlock()
	if cut != nil {
		<-cut
	}
	_, _ = to.Close(), from.Close()
}

// close ends both connections; the proxy is locked.
func (l *link) close() {
	_ = l.client.Close()
	if l.server != nil {
		_ = l.server.Close()
	}
}
