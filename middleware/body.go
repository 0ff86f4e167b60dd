package middleware

import (
	"io"
	"net/http"
	"runtime"
	"sync"

	"github.com/wontopos/latchkey/internal/abort"
)

// requestBody is the body that the handler reads, another view of its call. A
// read ended by the cut returns the cause, and so do all later reads.
//
// It also reproduces what [http.MaxBytesReader] does through the server's own
// writer but cannot do through ours: a body larger than its limit is answered
// at once and the connection is closed, where net/http would otherwise wait for
// the rest.
type requestBody plainWriter

func (c *httpCall) body() io.ReadCloser {
	if b := c.w.original.Body; b == nil || b == http.NoBody {
		return b
	}
	return (*requestBody)(c.plain())
}

func (b *requestBody) Read(p []byte) (int, error) {
	w := (*plainWriter)(b)
	switch s := w.state.Load(); {
	case s&cut != 0:
		return 0, s.cause()
	case s&tooLarge != 0: // it was not too large: a MaxBytesReader that hit its limit reads no more
		w.state.clear(tooLarge)
	}
	n, err := w.original.Body.Read(p)
	switch {
	case err == nil && n == len(p) && n > 0 && w.original.ProtoMajor == 1 && readByMaxBytes():
		w.state.Or(tooLarge)
	case err != nil && err != io.EOF: //nolint:errorlint // readers return it bare
		err = w.or(err)
	}
	return n, err
}

func (b *requestBody) Close() error { return b.original.Body.Close() }

// readByMaxBytes reports whether a MaxBytesReader is reading the body. A
// MaxBytesReader asks for one byte more than its limit leaves, and stops when
// it gets that byte. It does not tell the reader that it wraps, so the only
// sign is a filled read that no other follows. If none follows for another
// reason, a reusable connection is closed.
func readByMaxBytes() bool {
	var calls [8]uintptr // other middleware's readers may be in between
	for _, pc := range calls[:runtime.Callers(3, calls[:])] {
		if nameOf(pc) == maxBytesRead() {
			return true
		}
	}
	return false
}

func nameOf(pc uintptr) string { return runtime.FuncForPC(pc - 1).Name() }

// maxBytesRead is the name of the method with which a MaxBytesReader reads. To
// find it, a MaxBytesReader reads from a looker, which looks up its caller.
var maxBytesRead = sync.OnceValue(func() string {
	var l looker
	_, _ = http.MaxBytesReader(nil, &l, 1).Read(make([]byte, 1))
	return l.caller
})

type looker struct{ caller string }

func (l *looker) Read([]byte) (int, error) {
	var calls [1]uintptr
	runtime.Callers(2, calls[:])
	l.caller = nameOf(calls[0])
	return 0, io.EOF
}

func (l *looker) Close() error { return nil }

// closeAfterReply does to the server's writer what a MaxBytesReader does at its
// limit: the answer goes out at once, and the connection closes a moment later.
// Otherwise a client that is still sending its body would get a reset and never
// read the answer.
func closeAfterReply(w http.ResponseWriter) {
	one := [1]byte{}
	_, _ = http.MaxBytesReader(abort.Innermost(w), endless{}, 0).Read(one[:])
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }
func (endless) Close() error               { return nil }
