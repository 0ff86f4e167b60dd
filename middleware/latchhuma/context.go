package latchhuma

import (
	"context"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/queryparam"
)

// guarded is the context of an admitted request. No method of it leads to what is
// in front of the guard.
type guarded struct {
	under  // the route and its parameters
	r      *http.Request
	w      http.ResponseWriter
	status int
}

func (c *guarded) Context() context.Context                 { return c.r.Context() }
func (c *guarded) URL() url.URL                             { return *c.r.URL }
func (c *guarded) Query(name string) string                 { return queryparam.Get(c.r.URL.RawQuery, name) }
func (c *guarded) Header(name string) string                { return c.r.Header.Get(name) }
func (c *guarded) EachHeader(each func(name, value string)) { eachHeader(c.r.Header, each) }
func (c *guarded) BodyReader() io.Reader                    { return c.r.Body }
func (c *guarded) SetReadDeadline(t time.Time) error        { return huma.SetReadDeadline(c.w, t) }
func (c *guarded) Status() int                              { return c.status }
func (c *guarded) SetHeader(name, value string)             { c.w.Header().Set(name, value) }
func (c *guarded) AppendHeader(name, value string)          { c.w.Header().Add(name, value) }
func (c *guarded) BodyWriter() io.Writer                    { return c.w }

func (c *guarded) SetStatus(status int) {
	c.status = status
	c.w.WriteHeader(status)
}

func (c *guarded) GetMultipartForm() (*multipart.Form, error) {
	err := c.r.ParseMultipartForm(8 << 10)
	return c.r.MultipartForm, err
}

func eachHeader(h http.Header, each func(name, value string)) {
	for name, values := range h {
		for _, v := range values {
			each(name, v)
		}
	}
}

// Unwrap returns the request and the writer of a context, the guard's inside a
// guarded operation, for what Huma has no method for, such as a WebSocket. The
// request of an adapter that has another form of it is a copy. Behind humafiber
// the writer is nil.
func Unwrap(ctx huma.Context) (*http.Request, http.ResponseWriter) {
	for {
		outer, ok := ctx.(interface{ Unwrap() huma.Context })
		if !ok {
			break
		}
		ctx = outer.Unwrap()
	}
	switch c := ctx.(type) {
	case *guarded:
		return c.r, c.w
	case interface {
		Unwrap() (*http.Request, http.ResponseWriter)
	}:
		return c.Unwrap()
	}
	r := request(ctx)
	w, ok := ctx.BodyWriter().(http.ResponseWriter)
	if !ok {
		return r, nil
	}
	r.Host = ctx.Host() // that of humafiber believes X-Forwarded-Host, whoever sends it
	return r, early{w}
}

// early sends 1xx past the writers of gin and echo, which take it for the final
// status.
type early struct{ http.ResponseWriter }

func (w early) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w early) WriteHeader(status int) {
	under, ok := w.ResponseWriter.(interface{ Unwrap() http.ResponseWriter })
	if ok && status >= 100 && status <= 199 && status != http.StatusSwitchingProtocols {
		under.Unwrap().WriteHeader(status)
		return
	}
	w.ResponseWriter.WriteHeader(status)
}

// request makes a request from what a context tells of it.
func request(ctx huma.Context) *http.Request {
	u, v, h := ctx.URL(), ctx.Version(), make(http.Header)
	ctx.EachHeader(func(name, value string) { h.Add(name, value) })
	body, ok := ctx.BodyReader().(io.ReadCloser)
	if !ok {
		body = io.NopCloser(ctx.BodyReader())
	}
	r := &http.Request{
		Method: ctx.Method(), URL: &u, RequestURI: u.RequestURI(), Proto: v.Proto, ProtoMajor: v.ProtoMajor, ProtoMinor: v.ProtoMinor,
		Header: h, Body: body, Host: h.Get("Host"), RemoteAddr: ctx.RemoteAddr(), TLS: ctx.TLS(),
	}
	if body != http.NoBody {
		r.ContentLength = -1 // not known
	}
	return r.WithContext(ctx.Context())
}
