package wire_test

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/wontopos/latchkey/tools/wire"
)

// connect returns both ends of a connection through a wire.
func connect(t *testing.T) (w *wire.Wire, client, server net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if w, err = wire.New("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if client, err = net.Dial("tcp", w.Addr()); err != nil {
		t.Fatal(err)
	}
	if server, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Heal(); _, _, _ = client.Close(), server.Close(), w.Close() })
	return w, client, server
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
		w, client, server := connect(t)
		send(t, client, "a")
		if got, err := receive(server, forever); got != "a" {
			t.Fatalf("got %q (%v) through a whole wire", got, err)
		}
		w.Cut(lossy)
		send(t, client, "b")
		if _, err := receive(server, aMoment); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("lossy %v: a wire that is cut gave %v, want silence", lossy, err)
		}
		if _, err := receive(client, aMoment); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("lossy %v: who sends into a wire that is cut got %v, want silence", lossy, err)
		}
		w.Heal()
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
	w, client, server := connect(t)
	send(t, client, "a")
	if _, err := receive(server, forever); err != nil {
		t.Fatal(err)
	}
	w.Cut(true)
	_ = client.Close()
	if _, err := receive(server, aMoment); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the end came through: %v", err)
	}
	w.Heal()
	if _, err := receive(server, forever); err != io.EOF {
		t.Errorf("got %v after the wire was healed, want the end", err)
	}
}
