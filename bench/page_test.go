package main

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/storage/memstore"
)

// TestPageSuite runs it on each store with few keys, for an instant.
func TestPageSuite(t *testing.T) {
	shape := pageShape{keys: 100, asks: 2, listed: 2, beside: besideShape{rounds: 2, turn: 100 * time.Millisecond, apiRate: 200, listRate: 50, connections: 2}}
	r := newReport(io.Discard, []string{"-test"})
	err := pageOf(&options{t: t, only: regexp.MustCompile("")}, r, shape)
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	var addresses []string
	for _, a := range pageAddresses {
		addresses = append(addresses, a.name)
	}
	for _, h := range pageHomes() {
		if !strings.Contains(r.markdown(), h.name) {
			t.Logf("%s was left out", h.name)
			continue
		}
		wantRows(t, r, []string{"page: the list of a customer with 100 keys, " + h.name}, addresses)
		wantRows(t, r, []string{"page: 200 requests of the API's and 50 lists a second, " + h.name}, []string{"alone", "beside prepared pages", "beside lists", "beside lists, no key in two of them", "beside lists of the REST API"})
	}
	if page := r.markdown(); strings.Contains(page, "%!") || strings.Contains(page, "NaN") {
		t.Error(page)
	}
}

// TestPageFindsWhatItAsksFor: the addresses lead to the pages that they are
// named after.
func TestPageFindsWhatItAsksFor(t *testing.T) {
	const keys, listed = 800, 3 // one key has the needle in its name
	s, err := openSite(memstore.New())
	if err != nil {
		t.Fatal(err)
	}
	defer s.service.Close(t.Context())
	tokens, err := s.fill(newReport(io.Discard, nil), keys, listed)
	if err != nil {
		t.Fatal(err)
	}
	if len(tokens) != keys {
		t.Errorf("%d tokens of %d keys", len(tokens), keys)
	}
	for _, a := range pageAddresses {
		if a.address == "" {
			continue
		}
		body, err := s.get(a.address)
		if err != nil {
			t.Fatal(err)
		}
		want := pageRows
		switch a.name {
		case "search: three have it":
			want = 1
		case "search: none has it", "one environment, revoked":
			want = 0
		}
		if n := strings.Count(string(body), `href="keys/`) + strings.Count(string(body), `"revision"`); n < want || want == 0 && n > 0 || want > 0 && n > want+6 { // banners name some again
			t.Errorf("%s: %d keys, want %d", a.name, n, want)
		}
	}
	lists, longest, err := s.lists(listed)
	if err != nil || len(lists) != listed || len(longest) < 20<<10 {
		t.Errorf("%d lists, the longest of %d bytes: %v", len(lists), len(longest), err)
	}
	u, err := s.service.Usage(t.Context(), firstKey(t, s), time.Now().Add(-31*24*time.Hour))
	if err != nil || len(u.Hours) != 30*24 {
		t.Errorf("%d hours of usage: %v", len(u.Hours), err)
	}
}

func firstKey(t *testing.T, s *site) string {
	t.Helper()
	page, err := s.service.List(t.Context(), latchkey.ListRequest{Limit: 1})
	if err != nil || len(page.Keys) != 1 {
		t.Fatal(page, err)
	}
	return page.Keys[0].ID
}

// TestClient: a client keeps its pace, counts what the server takes, and says
// when an answer is no good.
func TestClient(t *testing.T) {
	var status atomic.Int32
	status.Store(http.StatusOK)
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(2 * time.Millisecond)
		w.Header().Set("Content-Length", "20480")
		w.WriteHeader(int(status.Load()))
		_, _ = w.Write(make([]byte, 20<<10))
	}))
	defer h.Close()
	plan := clientPlan{
		Address: strings.TrimPrefix(h.URL, "http://"), Requests: [][]byte{[]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n")}, Order: []uint32{0},
		Connections: 4, Size: 32 << 10, Every: 5 * time.Millisecond, Length: 200 * time.Millisecond,
	}
	r, err := client(plan)
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	if r.N != 40 || r.Took < 195*time.Millisecond || r.histogram().n != 40 || r.histogram().quantile(0.5) < 2*time.Millisecond || r.Longest < 2*time.Millisecond {
		t.Errorf("%d requests in %v, the longest %v", r.N, r.Took, r.Longest)
	}
	status.Store(http.StatusTooManyRequests)
	if _, err := client(plan); err == nil || !strings.Contains(err.Error(), "429") {
		t.Errorf("a refusal: %v", err)
	}
}
