package latchfiber_test

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"sync"

	"github.com/gofiber/fiber/v3"

	"github.com/wontopos/latchkey/middleware/latchfiber"
	"github.com/wontopos/latchkey/middleware/middlewaretest"
)

// bridge runs a net/http handler of the suite as handlers of fiber are written:
// what it writes before its first Flush is the body, and afterwards it is a stream.
// fiber's context belongs to one goroutine, so that what the handler wants of it is
// sent there.
type bridge struct {
	ctx    context.Context
	c      fiber.Ctx
	todo   chan func() // for the goroutine of c, which returns when it is closed
	header http.Header

	mu     sync.Mutex
	status int
	buf    bytes.Buffer
	stream *io.PipeWriter // nil before the first Flush
	taken  chan net.Conn
}

const atMost = 64 << 10 // of a body that is not a stream

func serve(r middlewaretest.Route) fiber.Handler {
	return func(c fiber.Ctx) error {
		p, _ := latchfiber.Principal(c)
		var body io.Reader = c.Request().BodyStream()
		if body == nil {
			body = bytes.NewReader(bytes.Clone(c.Body()))
		}
		req, err := http.NewRequestWithContext(c.Context(), r.Method, r.Path, body)
		if err != nil {
			return err
		}
		b := &bridge{ctx: c.Context(), c: c, todo: make(chan func()), header: http.Header{}}
		var panicked any
		go func() {
			defer func() { panicked = recover(); b.finish() }()
			r.Handler(b, req, p)
		}()
		for f := range b.todo {
			f()
		}
		if panicked != nil {
			panic(panicked)
		}
		return nil
	}
}

func (b *bridge) Header() http.Header { return b.header }

// on runs f in the goroutine of fiber's context, if it still is there.
func (b *bridge) on(f func()) {
	done := make(chan struct{})
	b.todo <- func() { f(); close(done) }
	<-done
}

func (b *bridge) WriteHeader(status int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if status == http.StatusEarlyHints {
		b.on(func() { _ = b.c.SendEarlyHints(b.header["Link"]) })
	} else if b.status == 0 {
		b.status = status
	}
}

func (b *bridge) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := context.Cause(b.ctx); err != nil {
		return 0, err
	}
	if b.stream == nil {
		b.buf.Write(p)
		if b.buf.Len() > atMost {
			b.begin()
		}
		return len(p), nil
	}
	n, err := b.stream.Write(p)
	if err != nil { // the context ends a moment after the connection
		<-b.ctx.Done()
		err = context.Cause(b.ctx)
	}
	return n, err
}

func (b *bridge) FlushError() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.begin()
	return nil
}

// begin makes a stream of the answer, and lets fiber's handler return.
func (b *bridge) begin() {
	if b.stream != nil {
		return
	}
	out, in := io.Pipe()
	b.stream = in
	first := bytes.Clone(b.buf.Bytes())
	b.on(func() {
		b.head()
		_ = b.c.SendStream(struct {
			io.Reader
			io.Closer
		}{io.MultiReader(bytes.NewReader(first), out), out})
	})
	close(b.todo)
}

func (b *bridge) head() {
	for name, values := range b.header {
		for _, value := range values {
			b.c.Response().Header.Add(name, value)
		}
	}
	if b.status != 0 {
		b.c.Status(b.status)
	}
}

func (b *bridge) finish() {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.stream != nil:
		_ = b.stream.Close()
	case b.taken == nil:
		b.on(func() {
			b.head()
			_ = b.c.Send(b.buf.Bytes())
		})
		close(b.todo)
	}
}

// Hijack takes the connection over when fiber's handler has returned.
func (b *bridge) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	b.mu.Lock()
	b.taken = make(chan net.Conn)
	b.mu.Unlock()
	b.on(func() {
		b.c.RequestCtx().HijackSetNoResponse(true)
		b.c.RequestCtx().Hijack(func(conn net.Conn) {
			closed := make(chan struct{})
			b.taken <- &hijacked{Conn: conn, closed: closed}
			<-closed
		})
	})
	close(b.todo)
	conn := <-b.taken
	return conn, bufio.NewReadWriter(bufio.NewReader(conn), bufio.NewWriter(conn)), nil
}

// hijacked tells fasthttp when it is closed.
type hijacked struct {
	net.Conn
	once   sync.Once
	closed chan struct{}
}

func (h *hijacked) Close() error {
	h.once.Do(func() { close(h.closed) })
	return nil // fasthttp closes the connection
}
