package latchecho

import (
	"bufio"
	"net"
	"net/http"

	"github.com/labstack/echo/v5"
)

// The writers of a request, from the handler to the server:
//
//	writer           what the handler gets
//	*echo.Response   what echo.UnwrapResponse finds inside the door
//	the guard's      which decides what may still be written
//	writer           what the guard gets
//	c.Response()     of the context around the door
//
// Without an *echo.Response inside the door, echo.UnwrapResponse would find the
// one outside, and what is written there is not held back by a cut.

// writer is a writer of echo's that can send 1xx, and can be closed.
type writer struct {
	http.ResponseWriter
	answered bool // the final status went through
	closed   bool // nothing more goes through
}

func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader sends 1xx at once, past echo, which would take it for the final
// status.
func (w *writer) WriteHeader(status int) {
	switch {
	case w.closed:
	case status >= 100 && status <= 199 && status != http.StatusSwitchingProtocols:
		if r, err := echo.UnwrapResponse(w.ResponseWriter); err == nil {
			r.ResponseWriter.WriteHeader(status)
		}
	default:
		w.answered = true
		w.ResponseWriter.WriteHeader(status)
	}
}

func (w *writer) Write(p []byte) (int, error) {
	if w.closed {
		return len(p), nil
	}
	w.answered = true
	return w.ResponseWriter.Write(p)
}

func (w *writer) Flush() { _ = http.NewResponseController(w.ResponseWriter).Flush() }

func (w *writer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return http.NewResponseController(w.ResponseWriter).Hijack()
}

// afterwards returns the writer that the context gets back. After an error that
// was answered inside the door it is closed: echo calls its HTTPErrorHandler with
// that error again, and one that does not look at Committed would answer twice.
func (w *writer) afterwards(err error) http.ResponseWriter {
	if err == nil || !w.answered {
		return w.ResponseWriter
	}
	w.closed = true
	return w
}
