package main

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// slowWire is a way to the database that takes time. What is sent arrives in its
// order, half a round trip later.
type slowWire struct {
	net.Listener
	network, address string
	half             time.Duration

	mu    sync.Mutex
	conns []net.Conn
}

func newSlowWire(to *pgx.ConnConfig, trip time.Duration) (*slowWire, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	port := strconv.Itoa(int(to.Port))
	w := &slowWire{Listener: l, network: "tcp", address: net.JoinHostPort(to.Host, port), half: trip / 2}
	if strings.HasPrefix(to.Host, "/") {
		w.network, w.address = "unix", filepath.Join(to.Host, ".s.PGSQL."+port)
	}
	go w.run()
	return w, nil
}

// dsn names the database behind the wire.
func (w *slowWire) dsn(to *pgx.ConnConfig) string {
	_, port, _ := net.SplitHostPort(w.Addr().String())
	return fmt.Sprintf("host=127.0.0.1 port=%s user='%s' password='%s' dbname='%s' sslmode=disable", port, to.User, to.Password, to.Database)
}

func (w *slowWire) run() {
	for {
		client, err := w.Accept()
		if err != nil {
			return
		}
		server, err := new(net.Dialer).DialContext(context.Background(), w.network, w.address)
		if err != nil {
			_ = client.Close()
			continue
		}
		w.mu.Lock()
		w.conns = append(w.conns, client, server)
		w.mu.Unlock()
		go w.carry(server, client)
		go w.carry(client, server)
	}
}

type parcel struct {
	bytes []byte
	due   time.Time
}

// carry brings bytes one way until an end closes.
func (w *slowWire) carry(to, from net.Conn) {
	way := make(chan parcel, 1024)
	go func() {
		defer to.Close()
		for p := range way {
			time.Sleep(time.Until(p.due))
			if _, err := to.Write(p.bytes); err != nil {
				_ = from.Close()
			}
		}
	}()
	defer close(way)
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			way <- parcel{append([]byte(nil), buffer[:n]...), time.Now().Add(w.half)}
		}
		if err != nil {
			return
		}
	}
}

func (w *slowWire) close() {
	_ = w.Close()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.conns {
		_ = c.Close()
	}
}
