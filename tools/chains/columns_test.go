package chains

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// column is what has to hold. look returns what is seen instead, in words that
// lacks declare.
type column struct {
	name       string
	needsGuard bool
	http1      bool // HTTP/1.1 alone
	look       func(v *visit) (wrong string)
}

// in reports whether the column has a cell there.
func (c *column) in(p place, protocol string) bool {
	return !(c.needsGuard && p == alone) && !(c.http1 && protocol != "HTTP/1.1")
}

var columns = []column{
	{name: "status", look: status},
	{name: "stream", look: streams[0].look},
	{name: "flush", look: streams[1].look},
	{name: "go-sse", look: streams[2].look},
	{name: "c.Stream", look: streams[3].look},
	{name: "413", look: tooLarge},
	{name: "hijack", http1: true, look: takeovers[0].look},
	{name: "coder", http1: true, look: takeovers[1].look},
	{name: "gorilla", http1: true, look: takeovers[2].look},
	{name: "refusal", needsGuard: true, look: refusal},
	{name: "cut early", needsGuard: true, look: cutEarly},
	{name: "cut", needsGuard: true, look: cut},
	{name: "use", look: func(v *visit) string { return v.use(v) }},
}

// status: the client gets the handler's status, fields and body.
func status(v *visit) string {
	a := v.get("/", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Kind", "teapot")
		w.WriteHeader(http.StatusTeapot)
		_, _ = io.WriteString(w, "short and stout")
	})
	if a.err != nil || a.StatusCode != http.StatusTeapot || a.Header.Get("X-Kind") != "teapot" || a.text != "short and stout" {
		return v.wrong("another answer", a.err)
	}
	return ""
}

// tooLarge: a handler's MaxBytesReader ends the body, and the client can read why. Over HTTP/1.1 the connection closes:
// nobody reads the rest.
func tooLarge(v *visit) string {
	v.behind(func(w http.ResponseWriter, r *http.Request) {
		var large *http.MaxBytesError
		if _, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1000)); errors.As(err, &large) {
			http.Error(w, "at most "+strconv.FormatInt(large.Limit, 10), http.StatusRequestEntityTooLarge)
		}
	})
	switch a := v.do(v.request("POST", "/", strings.NewReader(strings.Repeat("x", 5000)))); {
	case a.err != nil || a.StatusCode != http.StatusRequestEntityTooLarge || a.text != "at most 1000\n":
		return v.wrong("no 413", a.err)
	case v.protocol == "HTTP/1.1" && !a.Close:
		return "left open"
	}
	return ""
}

// refusal: a client without a key can read why it is refused, and no handler runs.
func refusal(v *visit) string {
	v.token = ""
	ran := make(chan struct{})
	a := v.get("/", func(http.ResponseWriter, *http.Request) { close(ran) })
	select {
	case <-ran:
		return "served"
	default:
	}
	if !a.refusedAs(401, "missing_key") || a.Header.Get("Www-Authenticate") == "" || a.Header.Get("Content-Type") != "application/problem+json" {
		return v.wrong("unreadable", a.err)
	}
	return ""
}

// cutEarly: the client of a handler that has not answered yet can read why it is cut.
func cutEarly(v *visit) string {
	began := make(chan struct{})
	go func() {
		select {
		case <-began:
		case <-v.ctx.Done():
		}
		v.revoke()
	}()
	a := v.get("/", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Secret-Finding", "42")
		close(began)
		<-r.Context().Done()
		_, _ = io.WriteString(w, "late\n")
	})
	switch {
	case !a.refusedAs(401, "revoked_key"):
		return v.wrong("unreadable", a.err)
	case a.Header.Get("X-Secret-Finding") != "":
		return "has the handler's fields"
	}
	return ""
}

// cut: whatever a client was getting when its key ended, it never ends like something whole.
func cut(v *visit) string {
	var wrong []string
	for _, s := range streams {
		if seen := s.cut(v); seen != "" {
			wrong = append(wrong, s.name+" "+seen)
		}
		v.newKey()
	}
	for _, s := range takeovers {
		if v.protocol != "HTTP/1.1" {
			break
		}
		if seen := s.cut(v); seen != "" {
			wrong = append(wrong, s.name+" "+seen)
		}
		v.newKey()
	}
	return strings.Join(wrong, ", ")
}

// steps let a handler wait for its client.
type steps struct {
	sent chan error    // the first part has left the handler; or cannot
	next chan struct{} // the client has it
}

func (s *steps) wait(r *http.Request) {
	select {
	case <-s.next:
	case <-r.Context().Done():
	}
}

// streaming is a handler that sends first, waits, and sends "late" at the end.
type streaming struct {
	name  string
	first string
	serve func(w http.ResponseWriter, r *http.Request, s *steps)
}

// start makes the request. first is closed when the first part has arrived, all has the response when it ends.
func (s *streaming) start(v *visit) (st *steps, first chan struct{}, all chan answer) {
	st = &steps{make(chan error, 1), make(chan struct{})}
	first, all = make(chan struct{}), make(chan answer, 1)
	v.behind(func(w http.ResponseWriter, r *http.Request) { s.serve(w, r, st) })
	r := v.request("GET", "/", nil)
	go func() {
		res, err := v.client.Do(r)
		if err != nil {
			all <- answer{&http.Response{}, "", err}
			return
		}
		defer res.Body.Close()
		b := make([]byte, len(s.first))
		n, err := io.ReadFull(res.Body, b)
		if err == nil {
			close(first)
			var rest []byte
			rest, err = io.ReadAll(res.Body)
			b, n = append(b, rest...), n+len(rest)
		}
		all <- answer{res, string(b[:n]), err}
	}()
	return st, first, all
}

// look: the first part arrives before the handler goes on, and all of it at the end.
func (s *streaming) look(v *visit) string {
	st, first, all := s.start(v)
	wrong := ""
	select {
	case err := <-st.sent:
		if err != nil {
			wrong = v.wrong("no flush", err)
			break
		}
		select {
		case <-first:
		case <-time.After(v.patience(s.name)):
			wrong = "held back"
		}
	case a := <-all:
		return v.wrong("no answer", a.err)
	}
	close(st.next)
	a := <-all
	if wrong == "" && (a.err != nil || a.StatusCode != 200 || !strings.HasPrefix(a.text, s.first) || !strings.Contains(a.text, "late")) {
		return v.wrong("incomplete", a.err)
	}
	return wrong
}

// cut ends the key once the first part has arrived, or has left a handler whose client does not get it piece by piece.
func (s *streaming) cut(v *visit) string {
	st, first, all := s.start(v)
	var a answer
	select {
	case <-st.sent:
		if v.patience(s.name) == patience {
			select {
			case <-first:
			case <-v.ctx.Done():
			}
		}
		v.revoke()
		a = <-all
	case a = <-all: // the handler cannot stream here at all
		return ""
	}
	switch {
	case strings.Contains(a.text, "late"):
		return "written on"
	case a.err == nil && !a.refusedAs(401, "revoked_key"):
		return "looks whole"
	}
	return ""
}

// takeover is a handler that takes the connection over, says "part", repeats what its client says, and says goodbye when
// it hears nothing more.
type takeover struct {
	name  string
	serve http.HandlerFunc
	dial  func(v *visit) (*talk, error)
}

// talk is the client's end of a connection.
type talk struct {
	hear    func() (string, error)
	say     func(string) error
	orderly func(error) bool // whether the connection ended as if nothing more had been to come
	close   func()
}

func (s *takeover) look(v *visit) string {
	v.behind(s.serve)
	c, err := s.dial(v)
	if err != nil {
		return v.wrong("no upgrade", err)
	}
	defer c.close()
	part, err := c.hear()
	err2 := c.say("ping")
	ping, err3 := c.hear()
	if part != "part" || ping != "ping" {
		return v.wrong("no conversation", err, err2, err3)
	}
	return ""
}

func (s *takeover) cut(v *visit) string {
	v.behind(s.serve)
	c, err := s.dial(v)
	if err != nil {
		return "" // it cannot take the connection over here at all
	}
	defer c.close()
	if part, err := c.hear(); part != "part" {
		return v.wrong("no conversation", err)
	}
	v.revoke()
	switch text, err := c.hear(); {
	case err == nil:
		return v.wrong("written on", errors.New(text))
	case c.orderly(err):
		return "looks orderly"
	}
	return ""
}
