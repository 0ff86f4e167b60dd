package admin

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
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

func (c *call) logFailure(f *failure, err error) {
	level := slog.LevelDebug
	if f.info.Status >= http.StatusInternalServerError {
		level = slog.LevelError
	}
	if c.r.Context().Err() != nil {
		level = slog.LevelDebug // the client has gone, or its time was up
	}
	pattern := ""
	if c.route != nil {
		pattern = c.route.pattern()
	}
	c.h.log.LogAttrs(c.r.Context(), level, "admin request refused",
		slog.String("request_id", c.id), slog.String("route", pattern), slog.String("actor", c.actor.ID),
		slog.String("code", f.info.Name), slog.String("error", c.h.shape.redact(err.Error())))
}
