package middleware_test

import (
	"bufio"
	"compress/gzip"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// outside is middleware around the guard that could make a response which was
// cut look whole.
var outside = map[string]func(http.Handler) http.Handler{
	"recovers":             recovers,
	"recovers and answers": recoversAndAnswers,
	"compresses":           compresses,
	"recovers, compresses": func(h http.Handler) http.Handler { return recovers(compresses(h)) },
	"compresses, recovers": func(h http.Handler) http.Handler { return compresses(recovers(h)) },
	"recovers, and refuses to be taken over once it has sent, as gin does": func(h http.Handler) http.Handler {
		return recovers(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.ServeHTTP(refuser{wrapper{w}}, r) }))
	},
	"recovers, and gives the connection its time back": func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			defer func() {
				_ = recover()
				_ = http.NewResponseController(w).SetWriteDeadline(time.Time{})
			}()
			h.ServeHTTP(w, r)
		})
	},
}

// streamer is the writer of older middleware, for handlers such as gin's Stream.
type streamer struct {
	http.ResponseWriter
	http.Flusher
	closeNotifier
}

type refuser struct{ wrapper }

func (refuser) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return nil, nil, errors.New("bytes were sent")
}

func recovers(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() { _ = recover() }()
		h.ServeHTTP(w, r)
	})
}

func recoversAndAnswers(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if recover() != nil {
				w.WriteHeader(http.StatusInternalServerError)
				_, _ = io.WriteString(w, "sorry")
			}
		}()
		h.ServeHTTP(w, r)
	})
}

// compresses says at once that it will, as gorilla's CompressHandler does.
func compresses(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		w.Header().Add("Vary", "Accept-Encoding")
		z := gzip.NewWriter(w)
		defer z.Close()
		h.ServeHTTP(&zipped{w, z}, r)
	})
}

type zipped struct {
	http.ResponseWriter
	z *gzip.Writer
}

func (w *zipped) Write(p []byte) (int, error) { return w.z.Write(p) }
func (w *zipped) Unwrap() http.ResponseWriter { return w.ResponseWriter }
func (w *zipped) Flush()                      { _ = w.z.Flush(); w.ResponseWriter.(http.Flusher).Flush() }

// ways are what a handler does that has begun its response when it is cut.
// Until returns when it is.
var ways = map[string]func(w http.ResponseWriter, r *http.Request, until func()){
	"returns": func(_ http.ResponseWriter, _ *http.Request, until func()) { until() },
	"writes on": func(w http.ResponseWriter, _ *http.Request, until func()) {
		until()
		for range 3 {
			_, _ = io.WriteString(w, "late")
			_ = http.NewResponseController(w).Flush()
		}
	},
	"copies on": func(w http.ResponseWriter, _ *http.Request, until func()) {
		until()
		_, _ = io.Copy(w, strings.NewReader("late"))
	},
	"panics": func(_ http.ResponseWriter, _ *http.Request, until func()) {
		until()
		panic("mine")
	},
	"recovers itself": func(w http.ResponseWriter, _ *http.Request, until func()) {
		defer func() { _ = recover() }()
		until()
		if _, err := io.WriteString(w, "late"); err != nil {
			panic(err)
		}
	},
	"sets trailers": func(w http.ResponseWriter, _ *http.Request, until func()) {
		until()
		w.Header().Set("X-Sum", "late")
		w.Header().Set(http.TrailerPrefix+"X-More", "late")
	},
	"takes its deadlines away": func(w http.ResponseWriter, _ *http.Request, until func()) {
		until()
		c := http.NewResponseController(w)
		_, _ = c.SetReadDeadline(time.Time{}), c.SetWriteDeadline(time.Time{})
	},
}

// forms are responses that have begun.
var forms = map[string]func(w http.ResponseWriter){
	"flushed": func(w http.ResponseWriter) {
		w.Header().Set("Trailer", "X-Sum")
		_, _ = io.WriteString(w, "part")
		_ = http.NewResponseController(w).Flush()
	},
	"not flushed": func(w http.ResponseWriter) { _, _ = io.WriteString(w, "part") },
	"with Content-Length": func(w http.ResponseWriter) {
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, "part")
		_ = http.NewResponseController(w).Flush()
	},
	"that ends with its connection": func(w http.ResponseWriter) {
		w.Header().Set("Transfer-Encoding", "identity")
		_, _ = io.WriteString(w, "part")
		_ = http.NewResponseController(w).Flush()
		w.Header().Del("Transfer-Encoding")
	},
	"204": func(w http.ResponseWriter) { w.WriteHeader(http.StatusNoContent) },
	"304": func(w http.ResponseWriter) { w.WriteHeader(http.StatusNotModified) },
}

// streams are what handlers do that have flushed a part of their response.
var streams = map[string]func(w http.ResponseWriter, r *http.Request){
	"waits": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
	"writes until that fails": func(w http.ResponseWriter, _ *http.Request) {
		for block := make([]byte, 5000); ; {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	},
}
