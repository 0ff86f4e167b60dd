package latchconnect

import (
	"bytes"
	"encoding/binary"
	"net/http"
	"strings"

	"github.com/wontopos/latchkey/middleware"
)

// protocol is what a call speaks, as its Content-Type says.
type protocol int

const (
	unary  protocol = iota // Connect: one body, without envelopes
	stream                 // Connect: envelopes, the last of which has the error
	grpc                   // envelopes; the error is in the trailers
	web                    // gRPC-Web: envelopes, the last of which has the trailers
)

func protocolOf(r *http.Request) protocol {
	t := strings.ToLower(r.Header.Get("Content-Type"))
	switch {
	case r.Method != http.MethodPost:
		return unary
	case strings.HasPrefix(t, "application/grpc-web"):
		return web
	case strings.HasPrefix(t, "application/grpc"):
		return grpc
	case strings.HasPrefix(t, "application/connect+"):
		return stream
	}
	return unary
}

// end ends a response that has begun with a refusal. It must be between two
// envelopes. The trailers of gRPC are sent when its handler has returned.
func (f refuser) end(w http.ResponseWriter, r *http.Request, p protocol, o *middleware.Outcome) {
	written := recorder{header: make(http.Header)}
	_ = f.Write(&written, r, refusal(o)) // as of a response that has not begun
	trailers := written.header
	for _, name := range []string{"Content-Type", "Trailer"} {
		trailers.Del(name)
	}
	switch p {
	case stream:
		_, _ = w.Write(written.body.Bytes())
	case web:
		var text bytes.Buffer
		lower := make(http.Header, len(trailers))
		for name, values := range trailers {
			lower[strings.ToLower(name)] = values
		}
		_ = lower.Write(&text)
		envelope := binary.BigEndian.AppendUint32([]byte{endOfWeb}, uint32(text.Len())) //nolint:gosec // a few hundred bytes
		_, _ = w.Write(append(envelope, text.Bytes()...))
	case grpc:
		for name, values := range trailers {
			w.Header()[http.TrailerPrefix+name] = values
		}
	}
}

// recorder takes what an ErrorWriter writes.
type recorder struct {
	header http.Header
	body   bytes.Buffer
}

func (r *recorder) Header() http.Header         { return r.header }
func (r *recorder) WriteHeader(int)             {}
func (r *recorder) Write(p []byte) (int, error) { return r.body.Write(p) }

// The flags of the last envelope of a response.
const (
	endOfStream = 1 << 1
	endOfWeb    = 1 << 7
)

const prefixLen = 5 // of an envelope: flags, and the length in four bytes

// envelopes follows the envelopes of a response.
type envelopes struct {
	prefix [prefixLen]byte
	got    int   // bytes of prefix
	left   int64 // bytes of the envelope after its prefix
	ended  bool  // the handler's own last envelope has gone out
}

// between reports whether another envelope may follow.
func (e *envelopes) between() bool { return e.got == 0 && e.left == 0 }

// begins reports whether p is the prefix of an envelope, alone, that has more.
func (e *envelopes) begins(p []byte) bool {
	return e.between() && len(p) == prefixLen && binary.BigEndian.Uint32(p[1:]) > 0
}

func (e *envelopes) follow(p []byte) {
	for len(p) > 0 {
		if e.left > 0 {
			n := min(e.left, int64(len(p)))
			e.left -= n
			p = p[n:]
		} else {
			n := copy(e.prefix[e.got:], p)
			e.got += n
			p = p[n:]
			if e.got < prefixLen {
				return
			}
			e.got = 0
			e.left = int64(binary.BigEndian.Uint32(e.prefix[1:]))
		}
		e.ended = e.ended || e.left == 0 && e.prefix[0]&(endOfStream|endOfWeb) != 0
	}
}
