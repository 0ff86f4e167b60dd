package admin

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"
)

// typeBase begins the "type" of every problem; the code's name follows.
const typeBase = "https://github.com/wontopos/latchkey/blob/main/docs/errors.md#"

// problem is the body of a refusal (RFC 9457).
type problem struct {
	Type      string       `json:"type"`
	Title     string       `json:"title"`
	Status    int          `json:"status"`
	Code      string       `json:"code"`
	Detail    string       `json:"detail,omitempty"`
	RequestID string       `json:"request_id"`
	KeyID     string       `json:"key_id,omitempty"`
	Errors    []fieldError `json:"errors,omitempty"`
}

// fail answers with an error: a problem for programs, a page for people.
func (c *call) fail(err error) {
	if answer, ok := errors.AsType[selfAnswering](err); ok {
		c.answerItself(answer)
		return
	}
	f := c.failureOf(err)
	c.logFailure(f, err)
	c.refuse(f)
}

// refuse answers with a failure.
func (c *call) refuse(f *failure) {
	for name, values := range f.header {
		c.w.Header()[name] = values
	}
	p := c.problem(f)
	if f.info.Status == http.StatusUnauthorized && c.w.Header().Get("WWW-Authenticate") == "" {
		// RFC 9110 requires a challenge with every 401, and defines none for a
		// session of the application.
		c.w.Header().Set("WWW-Authenticate", `Session realm="API key administration"`)
	}
	if !c.api() {
		c.failPage(p, f.signIn)
		return
	}
	var body bytes.Buffer
	_ = json.NewEncoder(&body).Encode(p) // strings and numbers: cannot fail
	_ = c.write(p.Status, "application/problem+json", body.Bytes())
}

// problem is what the client may know about a failure. A key sent in the wrong
// place is not sent back.
func (c *call) problem(f *failure) problem {
	p := problem{
		Type: typeBase + f.info.Name, Title: f.info.Title, Status: f.info.Status, Code: f.info.Name,
		Detail: c.h.shape.redact(f.detail), RequestID: c.id, KeyID: f.keyID,
	}
	if p.Status >= http.StatusInternalServerError && p.Detail == "" {
		p.Detail = "something went wrong here; the log has the cause under this request's id"
	}
	for _, e := range f.fields {
		e.Pointer, e.Parameter, e.Detail = c.h.shape.redact(e.Pointer), c.h.shape.redact(e.Parameter), c.h.shape.redact(e.Detail)
		p.Errors = append(p.Errors, e)
	}
	return p
}

// overloadEvery is how often the log mentions that requests are refused because there are too many: whoever sends them
// must not fill it.
const overloadEvery = 10 * time.Second

// logFailure logs faults as errors. Nothing that a client sends is one: not how many requests it sends, and not that it
// gives up.
func (c *call) logFailure(f *failure, err error) {
	level := slog.LevelDebug
	switch {
	case c.r.Context().Err() != nil: // the client has gone, or its time was up
	case f.overload:
		if c.h.overloads.allow(overloadEvery) {
			c.h.log.WarnContext(c.r.Context(), "admin: more requests arrive than can be answered: some are refused with 503", "request_id", c.id)
		}
	case f.info.Status >= http.StatusInternalServerError:
		level = slog.LevelError
	}
	pattern := ""
	if c.route != nil {
		pattern = c.route.pattern()
	}
	c.h.log.LogAttrs(c.r.Context(), level, "admin request refused",
		slog.String("request_id", c.id), slog.String("route", pattern), slog.String("actor", c.actor.ID),
		slog.String("code", f.info.Name), slog.String("error", c.h.shape.redact(err.Error())))
}

// throttle lets something happen once in a while; the zero value is ready.
type throttle struct{ last atomic.Int64 }

var processStart = time.Now()

// allow reports whether nobody was allowed within the last while.
func (t *throttle) allow(every time.Duration) bool {
	now, last := int64(time.Since(processStart))+1, t.last.Load()
	return (last == 0 || now-last >= int64(every)) && t.last.CompareAndSwap(last, now)
}
