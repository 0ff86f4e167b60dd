package admin_test

import (
	"bufio"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/admin"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
	"github.com/wontopos/latchkey/storage/memstore"
)

func rows(t *testing.T, a answer) [][]string {
	t.Helper()
	if got := a.header.Get("Content-Type"); got != "text/csv; charset=utf-8; header=present" {
		t.Fatalf("Content-Type %q", got)
	}
	all, err := csv.NewReader(strings.NewReader(a.body)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(a.body, "\r\n"); lines != len(all) || !strings.HasSuffix(a.body, "\r\n") {
		t.Errorf("RFC 4180 ends each row with CR LF: %d of %d", lines, len(all))
	}
	if got := strings.Join(all[0], ","); got != "seq,at,action,actor,from,key_id,owner,reason,details" {
		t.Errorf("the first row names the columns: %s", got)
	}
	return all[1:]
}

// TestAuditCSV: the file says what the JSON says, and no more than the actor may
// see.
func TestAuditCSV(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	k, _ := g.key("acme", `say "hi", acme`)
	other, _ := g.key("evil", "foreign")
	for i := range 5 {
		g.want(200, "owner", "POST", "/v1/keys/"+k.ID+"/disable", fmt.Sprintf(`{"reason":"reason, with \"quotes\" %d"}`, i))
		g.want(200, "owner", "POST", "/v1/keys/"+k.ID+"/enable", "")
	}
	a := g.want(200, "owner", "GET", "/v1/keys/"+k.ID+"/audit.csv", "")
	if got := a.header.Get("Content-Disposition"); got != `attachment; filename="audit-`+k.ID+`.csv"` {
		t.Errorf("Content-Disposition %q", got)
	}
	entries := g.want(200, "owner", "GET", "/v1/keys/"+k.ID+"/audit", "").members(t)["entries"].([]any)
	got := rows(t, a)
	if len(got) != len(entries) || len(got) != 11 {
		t.Fatalf("%d rows, %d entries", len(got), len(entries))
	}
	for i, e := range entries {
		e := e.(map[string]any)
		at, err := time.Parse(time.RFC3339, e["at"].(string))
		if err != nil {
			t.Fatal(err)
		}
		text := func(name string) string { v, _ := e[name].(string); return v }
		want := []string{fmt.Sprint(e["seq"]), at.Format(time.RFC3339Nano), text("action"), text("actor"), text("from"), text("key_id"), text("owner"), text("reason")}
		if strings.Join(got[i][:8], "|") != strings.Join(want, "|") {
			t.Errorf("row %d: %q, want %q", i, got[i], want)
		}
	}
	if !strings.Contains(got[10][8], `"name":"say \"hi\", acme"`) {
		t.Errorf("details are JSON: %s", got[10][8])
	}
	if a := g.want(200, "owner", "GET", "/v1/audit.csv", ""); strings.Contains(a.body, "evil") || len(rows(t, a)) != 11 || a.header.Get("Content-Disposition") != `attachment; filename="audit.csv"` {
		t.Errorf("a customer's trail is their own:\n%s", a.body)
	}
	if a := g.want(200, "op-reader", "GET", "/v1/audit.csv?owner=evil", ""); len(rows(t, a)) != 1 || !strings.Contains(a.body, other.ID) {
		t.Errorf("an operator chooses:\n%s", a.body)
	}
	g.want(404, "stranger", "GET", "/v1/keys/"+k.ID+"/audit.csv", "")
	g.want(422, "owner", "GET", "/v1/audit.csv?owner=evil", "")
	g.want(422, "owner", "GET", "/v1/audit.csv?limit=0", "")
	// It goes on where it was cut.
	first := rows(t, g.want(200, "owner", "GET", "/v1/audit.csv?limit=4", ""))
	rest := rows(t, g.want(200, "owner", "GET", "/v1/audit.csv?before="+first[3][0], ""))
	if all := append(first, rest...); len(first) != 4 || fmt.Sprint(all) != fmt.Sprint(got) {
		t.Errorf("cut and gone on with: %v", all)
	}
	if a := g.do("owner", "HEAD", "/v1/audit.csv", ""); a.status != 200 || a.body != "" {
		t.Errorf("HEAD: %d %q", a.status, a.body)
	}
}

// TestAuditCSVFormulas: no cell of anybody's words is a formula to a
// spreadsheet, whichever column it comes in by.
func TestAuditCSVFormulas(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	hostile := []string{
		"=1+1", "+1", "-1", "@SUM(A1)", "  =HYPERLINK(\"https://evil.example\";\"ok\")", "＝1+1", "＋1", "－1", "＠x",
		"=cmd|' /C calc'!A0", "\t=1", "\r=1", "\n=1", "x;=1+1;y", "x; \"=1", "x;\"\"＝1", "x,=1", "x|@a", "\u200b=1", "\u00a0=1", "\"=1", "﹦1", "−1", "x;\ufeff-1",
	}
	for i, words := range hostile {
		for _, n := range []latchkey.NewKey{{Name: words, Owner: "o"}, {Name: "n", Owner: words}} {
			k, _, err := g.keys.Create(t.Context(), apikey.Actor{ID: words, From: words}, n)
			if err != nil && i < 10 {
				t.Fatal(err)
			}
			if err == nil {
				if _, err := g.keys.Revoke(t.Context(), apikey.Actor{ID: "x"}, k.ID, words); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	// Whatever ends a cell in somebody's spreadsheet, with or without regard to
	// quotes, no cell is a formula.
	a := g.want(200, "operator", "GET", "/v1/audit.csv", "")
	checked := 0
	for row := range strings.Lines(a.body) {
		for _, cell := range regexp.MustCompile(`[,;|\t\n\v\f\r\x{85}\x{2028}\x{2029}]`).Split(row, -1) {
			bare := strings.TrimLeft(cell, "\" \u00a0\u200b\ufeff")
			if bare != "" && strings.ContainsAny(string([]rune(bare)[:1]), "=+-@＝＋－＠﹦﹢﹣﹫−") {
				t.Errorf("%q has a cell that is a formula: %q", row, cell)
			}
			if strings.HasPrefix(bare, "'") {
				checked++
			}
		}
	}
	for _, row := range rows(t, a) {
		for i, cell := range row {
			if cell != "" && strings.ContainsAny(cell[:1], "=+-@\t\r\n") {
				t.Errorf("column %d is a formula: %q", i, cell)
			}
		}
	}
	if checked < 10*5 {
		t.Errorf("only %d cells were made inert: this test proves little", checked)
	}
	for _, cell := range append(hostile, "plain", "", "a=b", "10.0.0.1", "2001:db8::1", "a;b", "a -> b", "x, y", "10.0.0.0/8, 2001:db8::/32") {
		got := admin.Inert(cell)
		if dangerous := slices.Contains(hostile, cell); (got != cell) != dangerous || strings.ReplaceAll(got, "'", "") != strings.ReplaceAll(cell, "'", "") {
			t.Errorf("%q becomes %q", cell, got)
		}
	}
}

// longTrail is a store with a long trail, which may fail on the way.
type longTrail struct {
	storage.Store
	pages, failAt int
	length        uint64
}

func (l *longTrail) Unwrap() storage.Store { return l.Store }

func (l *longTrail) Audit(_ context.Context, q apikey.AuditQuery) ([]apikey.AuditEntry, error) {
	if l.pages++; l.pages == l.failAt {
		return nil, errors.New("hidden-text")
	}
	if q.Before == 0 {
		q.Before = l.length + 1
	}
	entries := make([]apikey.AuditEntry, min(uint64(q.PageLimit()), q.Before-1))
	for i := range entries {
		entries[i] = apikey.AuditEntry{Seq: q.Before - 1 - uint64(i), Action: "enable", Actor: "x", KeyID: "k", Owner: "o"}
	}
	return entries, nil
}

// TestAuditCSVIsWhole: an export has all of a trail, and takes the memory of a
// page.
func TestAuditCSVIsWhole(t *testing.T) {
	t.Parallel()
	endless := &longTrail{Store: memstore.New(), length: 123_456}
	g := newRigWith(t, endless, signIn, admin.Options{})
	if n := strings.Count(g.want(200, "operator", "GET", "/v1/audit.csv", "").body, "\n") - 1; n != 123_456 || endless.pages != 124 {
		t.Errorf("%d rows in %d pages", n, endless.pages)
	}
	endless.pages = 0
	if n := len(rows(t, g.want(200, "operator", "GET", "/v1/audit.csv?limit=1500", ""))); n != 1500 || endless.pages != 2 {
		t.Errorf("%d rows in %d pages", n, endless.pages)
	}

	broken := &longTrail{Store: memstore.New(), failAt: 1, length: 100_000}
	g = newRigWith(t, broken, signIn, admin.Options{})
	if a := g.want(503, "operator", "GET", "/v1/audit.csv", ""); strings.Contains(a.body, "hidden-text") {
		t.Errorf("a failure before the first row is a refusal: %s", a.body)
	}
}

// TestBrokenExportsLookBroken: over every protocol, and whatever is around the
// handler.
func TestBrokenExportsLookBroken(t *testing.T) {
	t.Parallel()
	for around, wrap := range map[string]func(h http.Handler, w http.ResponseWriter, r *http.Request){
		"nothing": http.Handler.ServeHTTP,
		"middleware that recovers panics": func(h http.Handler, w http.ResponseWriter, r *http.Request) {
			defer func() { _ = recover() }()
			h.ServeHTTP(w, r)
		},
		"a writer that hides the server's": func(h http.Handler, w http.ResponseWriter, r *http.Request) {
			h.ServeHTTP(struct{ http.ResponseWriter }{w}, r)
		},
	} {
		for _, protocol := range []string{"HTTP/1.0", "HTTP/1.1", "HTTP/2.0"} {
			if around == "a writer that hides the server's" && protocol == "HTTP/1.0" {
				continue // its connection cannot be reset
			}
			t.Run(protocol+" in "+around, func(t *testing.T) {
				t.Parallel()
				g := newRigWith(t, &longTrail{Store: memstore.New(), failAt: 3, length: 100_000}, signIn, admin.Options{})
				server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { wrap(g.mount, w, r) }))
				defer server.Close()
				if server.EnableHTTP2 = protocol == "HTTP/2.0"; server.EnableHTTP2 {
					server.StartTLS()
				} else {
					server.Start()
				}
				res := export(t, server, protocol)
				defer res.Body.Close()
				all, err := csv.NewReader(res.Body).ReadAll()
				if res.StatusCode != 200 || res.Proto != protocol {
					t.Fatalf("%s %s", res.Proto, res.Status)
				}
				if err == nil {
					t.Errorf("a file that ends early looks whole, with %d rows", len(all))
				}
				if log := g.log.String(); !strings.Contains(log, "hidden-text") {
					t.Errorf("the log says why:\n%s", log)
				}
			})
		}
	}
}

// export begins to receive an audit trail.
func export(t *testing.T, server *httptest.Server, protocol string) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "GET", server.URL+"/settings/keys/v1/audit.csv", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Test-User", "operator")
	if protocol != "HTTP/1.0" {
		res, err := server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	fmt.Fprintf(conn, "GET %s HTTP/1.0\r\nX-Test-User: operator\r\n\r\n", r.URL.Path)
	res, err := http.ReadResponse(bufio.NewReader(conn), r)
	if err != nil {
		t.Fatal(err)
	}
	return res
}
