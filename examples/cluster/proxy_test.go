//go:build unix

package main

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

// wire returns both ends of a connection through a proxy.
func wire(t *testing.T) (p *proxy, client, server net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if p, err = newProxy("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if client, err = net.Dial("tcp", p.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if server, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.heal(); _, _, _ = client.Close(), server.Close(), p.Close() })
	return p, client, server
}

func send(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if _, err := c.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
}

// receive returns one byte, or why there is none within a time.
func receive(c net.Conn, within time.Duration) (string, error) {
	_ = c.SetReadDeadline(time.Now().Add(within))
	b := make([]byte, 1)
	_, err := io.ReadFull(c, b)
	return string(b), err
}

const (
	aMoment = 50 * time.Millisecond
	forever = 20 * time.Second
)

func TestTheWire(t *testing.T) {
	for _, lossy := range []bool{false, true} {
		p, client, server := wire(t)
		send(t, client, "a")
		if got, err := receive(server, forever); got != "a" {
			t.Fatalf("got %q (%v) through a whole wire", got, err)
		}
		p.cut(lossy)
		send(t, client, "b")
		if _, err := receive(server, aMoment); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("lossy %v: a wire that is cut gave %v, want silence", lossy, err)
		}
		if _, err := receive(client, aMoment); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("lossy %v: who sends into a wire that is cut got %v, want silence", lossy, err)
		}
		p.heal()
		got, err := receive(server, forever)
		if !lossy && got != "b" {
			t.Errorf("got %q (%v) from a wire that was healed, want what it held back", got, err)
		}
		if lossy && err != io.EOF {
			t.Errorf("a stream with a hole in it gave %q (%v), want its end", got, err)
		}
	}
}

// Nor does a wire that is cut tell that the other end has hung up.
func TestTheWireKeepsQuietAboutTheEnd(t *testing.T) {
	p, client, server := wire(t)
	send(t, client, "a")
	if _, err := receive(server, forever); err != nil {
		t.Fatal(err)
	}
	p.cut(true)
	_ = client.Close()
	if _, err := receive(server, aMoment); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the end came through: %v", err)
	}
	p.heal()
	if _, err := receive(server, forever); err != io.EOF {
		t.Errorf("got %v after the wire was healed, want the end", err)
	}
}
