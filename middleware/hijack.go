package middleware

import (
	"bufio"
	"io"
	"net"
	"net/http"

	"github.com/wontopos/latchkey/internal/abort"
)

// hijackedConn is a connection that a handler took over, for example for
// WebSocket. Its request stays in flight until Close. When the key is revoked,
// nothing more is written to the connection and it ends with a reset, even if
// the handler closes it first: a handler that says goodbye when its context
// ends would otherwise make the end look clean.
type hijackedConn struct {
	net.Conn
	w *plainWriter
}

func (w *plainWriter) hijack() (net.Conn, *bufio.ReadWriter, error) {
	if w.isCut() {
		return nil, nil, w.or(nil)
	}
	conn, rw, err := http.NewResponseController(w.under).Hijack()
	if err != nil {
		return nil, nil, w.or(err)
	}
	if w.state.Load()&undecided != 0 {
		w.settled(http.StatusSwitchingProtocols)
	}
	h := &hijackedConn{conn, w}
	if rw != nil && rw.Writer.Buffered() == 0 {
		rw.Writer.Reset(h) // it would bypass h
	}
	(*requestContext)(&w.passage).open().conn.Store(h) // before the state is read; Cut does it in the opposite order
	if w.isCut() {
		_ = h.Close()
		return nil, nil, w.or(nil)
	}
	return h, rw, nil
}

// hijacked returns the connection that the handler took over, nil if it has not.
func (w *plainWriter) hijacked() *hijackedConn {
	if in := w.inner.Load(); in != nil {
		return in.conn.Load()
	}
	return nil
}

func (c *hijackedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err != nil {
		err = c.w.or(err)
	}
	return n, err
}

func (c *hijackedConn) Write(p []byte) (int, error) {
	if c.w.isCut() {
		return 0, c.w.or(nil)
	}
	n, err := c.Conn.Write(p)
	if err != nil {
		err = c.w.or(err)
	}
	return n, err
}

// Close closes the connection and ends the request's flight.
func (c *hijackedConn) Close() (err error) {
	if c.w.isCut() {
		abort.Conn(c.Conn)
	} else {
		err = c.Conn.Close()
	}
	c.w.flight.Leave()
	if c.w.owes() {
		c.w.endCharged()
	}
	if c.w.isCut() {
		c.w.reportCut()
	}
	return err
}

// NetConn returns the server's connection, a *net.TCPConn or *tls.Conn. Close
// it only through the hijackedConn.
func (c *hijackedConn) NetConn() net.Conn { return c.Conn }

// CloseWrite closes the writing side, if the connection can.
func (c *hijackedConn) CloseWrite() error {
	if c.w.isCut() {
		return c.w.or(nil)
	}
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return http.ErrNotSupported
}

// ReadFrom and WriteTo let the kernel copy between sockets.
func (c *hijackedConn) ReadFrom(src io.Reader) (int64, error) {
	if c.w.isCut() {
		return 0, c.w.or(nil)
	}
	return io.Copy(c.Conn, src)
}

// WriteTo implements [io.WriterTo].
func (c *hijackedConn) WriteTo(dst io.Writer) (int64, error) { return io.Copy(dst, c.Conn) }
