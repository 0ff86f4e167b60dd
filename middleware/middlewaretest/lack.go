package middlewaretest

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"testing"
	"time"
)

// soon bounds the wait for something that an adapter says will not happen.
const soon = time.Second

// lackRules check that the adapter really lacks what it declares.
func lackRules(h Harness) []rule {
	var rules []rule
	for _, a := range h.Lacks {
		rules = append(rules, rule{"it lacks " + string(a) + ", as it says", nil, func(t *testing.T, h Harness) {
			has, known := probes[a]
			if !known {
				t.Fatalf("%q is not an ability", a)
			}
			r := newRig(t, h, plain)
			r.probing = true
			r.get("/public", "")
			switch a {
			case Cut, Uploads, Ends:
				if r.native.Load() != nil {
					t.Errorf("a framework on net/http has %q: its doors are middleware.Door's", a)
				}
			}
			if has(r) {
				t.Errorf("the adapter says that it lacks %q, and has it: take it out of Harness.Lacks, so that its rules are checked", a)
			}
		}})
	}
	return rules
}

// probes report whether an adapter has an ability.
var probes = map[Ability]func(*rig) bool{
	Streaming: func(r *rig) bool {
		_, token := r.key()
		began := make(chan struct{}, 1)
		r.background("/stream", token, nil, func(res *http.Response) {
			if line, _ := bufio.NewReader(res.Body).ReadString('\n'); line != "" {
				began <- struct{}{}
			}
		})
		return within(began)
	},
	Cut: func(r *rig) bool { return r.endsWithItsKey("/wait", nil) },
	Uploads: func(r *rig) bool {
		body, feed := io.Pipe()
		go func() { _, _ = feed.Write([]byte("first")) }()
		return r.endsWithItsKey("/upload", body)
	},
	Hijack: func(r *rig) bool {
		_, token := r.key()
		r.background("/hijack", token, nil, nil)
		return within(r.started)
	},
	Informational: func(r *rig) bool {
		_, token := r.key()
		hinted := make(chan struct{}, 1)
		r.background("/hint", token, nil, nil, &httptrace.ClientTrace{
			Got1xxResponse: func(int, textproto.MIMEHeader) error { hinted <- struct{}{}; return nil },
		})
		return within(hinted)
	},
	Ends: func(r *rig) bool {
		id, token := r.key()
		r.get("/read", token)
		for start := time.Now(); time.Since(start) < soon; time.Sleep(time.Millisecond) {
			if r.usage(id).Last().Status != 0 {
				return true
			}
		}
		return false
	},
	HTTP1: func(r *rig) bool {
		_, token := r.key()
		u, err := url.Parse(r.server.URL)
		if err != nil {
			return false
		}
		conn, err := net.DialTimeout("tcp", u.Host, soon)
		if err != nil {
			return false
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(soon))
		fmt.Fprintf(conn, "GET /read HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n\r\n", liveHost, token)
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		return err == nil && res.StatusCode == http.StatusOK
	},
}

// endsWithItsKey reports whether a handler is notified that its key was
// revoked.
func (r *rig) endsWithItsKey(path string, body io.Reader) bool {
	id, token := r.key()
	r.background(path, token, body, nil)
	if !within(r.started) {
		return false
	}
	r.revoke(id)
	return within(r.ended)
}

// background makes a request that ends with the test.
func (r *rig) background(path, token string, body io.Reader, then func(*http.Response), trace ...*httptrace.ClientTrace) {
	method := "GET"
	if body != nil {
		method = "POST"
	}
	ctx, cancel := context.WithCancel(context.Background())
	for _, t := range trace {
		ctx = httptrace.WithClientTrace(ctx, t)
	}
	req := r.request(method, path, token, body).WithContext(ctx)
	done := make(chan struct{})
	r.Cleanup(func() {
		cancel()
		if body, ok := body.(io.Closer); ok {
			_ = body.Close() // net/http waits for its reads before Do returns
		}
		<-done
	})
	go func() {
		defer close(done)
		res, err := r.server.Client.Do(req)
		if err != nil {
			return
		}
		defer res.Body.Close()
		if then != nil {
			then(res)
		}
	}()
}

func within[T any](c <-chan T) bool {
	select {
	case <-c:
		return true
	case <-time.After(soon):
		return false
	}
}
