package middlewaretest

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"testing"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/middleware"
)

// HTTP makes the transport of an adapter that speaks HTTP: what its Start serves,
// with the client of net/http.
func HTTP(h Harness) Transport {
	return Transport{
		Lacks: only(h.Lacks),
		Start: func(t *testing.T, g *middleware.Guard, scripts []Script) func(context.Context, Ask) Reply {
			t.Helper()
			routes := make([]Route, len(scripts))
			for i, s := range scripts {
				routes[i] = Route{Name: s.Name, Method: "POST", Path: "/" + s.Name, Route: s.Route, Handler: s.serveHTTP}
			}
			server := h.Start(t, g, routes)
			client := server.client(t)
			if transport, ok := client.Transport.(*http.Transport); ok { // for the sake of machines that count open files
				transport = transport.Clone()
				transport.MaxConnsPerHost = 100
				t.Cleanup(transport.CloseIdleConnections)
				client.Transport = transport
			}
			return func(ctx context.Context, a Ask) Reply { return call(ctx, client, server.URL, a) }
		},
	}
}

// serveHTTP plays the script on net/http.
func (s Script) serveHTTP(w http.ResponseWriter, r *http.Request, p *apikey.Principal) {
	if err := s.Play(r.Context(), p, &exchange{w, r, s.Streams}); err != nil {
		http.Error(w, "the script has failed", http.StatusInternalServerError)
	}
}

type exchange struct {
	w       http.ResponseWriter
	r       *http.Request
	streams bool
}

func (x *exchange) Send(part []byte) error {
	_, err := x.w.Write(part)
	if err == nil && x.streams {
		err = http.NewResponseController(x.w).Flush()
	}
	return err
}

func (x *exchange) Receive() ([]byte, error) {
	part := make([]byte, 4<<10)
	n, err := x.r.Body.Read(part)
	if n > 0 {
		return part[:n], nil
	}
	return nil, err
}

// call makes a request and reads its response to the end.
func call(ctx context.Context, client *http.Client, url string, a Ask) Reply {
	var body io.Reader
	if a.Parts != nil {
		out, in := io.Pipe()
		defer out.Close()
		go feed(in, a.Parts)
		body = out
	}
	req, err := http.NewRequestWithContext(ctx, "POST", url+"/"+a.Script, body)
	if err != nil {
		return Reply{Err: err}
	}
	req.Host, req.Header = a.Host, a.Fields
	res, err := client.Do(req)
	if err != nil {
		return Reply{Err: err}
	}
	defer res.Body.Close()
	r := Reply{Status: strconv.Itoa(res.StatusCode), Fields: res.Header}
	for part := make([]byte, 4<<10); err == nil; {
		var n int
		if n, err = res.Body.Read(part); n > 0 {
			r.Body = append(r.Body, part[:n]...)
			if a.OnPart != nil {
				a.OnPart(r.Body[len(r.Body)-n:])
			}
		}
	}
	if !errors.Is(err, io.EOF) {
		r.Err = err
	} else if res.Header.Get("Content-Type") == "application/problem+json" {
		r.refused()
	}
	return r
}

// feed writes the parts of a request until nobody reads them.
func feed(in *io.PipeWriter, parts <-chan []byte) {
	defer in.Close()
	for part := range parts {
		if _, err := in.Write(part); err != nil {
			return
		}
	}
}

// refused reads the problem document in the body.
func (r *Reply) refused() {
	var problem struct {
		Code          string
		Detail        string
		MissingScopes []string `json:"missing_scopes"`
		BaseURL       string   `json:"base_url"`
	}
	if json.Unmarshal(r.Body, &problem) != nil {
		return
	}
	for _, code := range apikey.Codes() {
		if code.Info().Name == problem.Code {
			r.Code, r.Body = code, nil
		}
	}
	r.Detail, r.MissingScopes, r.BaseURL = problem.Detail, problem.MissingScopes, problem.BaseURL
	if after := r.Fields.Values("Retry-After"); len(after) > 0 {
		r.RetryAfter, _ = strconv.ParseInt(after[0], 10, 64)
	}
}
