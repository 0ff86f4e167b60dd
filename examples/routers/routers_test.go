package routers_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/examples/routers"
	"github.com/wontopos/latchkey/latchkeytest"
	"github.com/wontopos/latchkey/middleware"
)

func TestRoutesNeedWhatTheySay(t *testing.T) {
	for name, router := range map[string]func(*middleware.Guard) http.Handler{"chi": routers.Chi, "gorilla/mux": routers.Gorilla} {
		t.Run(name, func(t *testing.T) {
			guard := latchkeytest.NewGuard(t, latchkeytest.Options{})
			api := router(guard)
			for _, c := range []struct {
				request string
				scopes  string // of the key; "-": no key
				status  int
				answer  string // begins with this
				left    string // of the key's minute
			}{
				{"GET /health", "-", 200, "well", ""},
				{"GET /v1/me", "-", 401, "", ""},
				{"GET /v1/me", "", 200, "acme", "59"},
				{"GET /v1/things/7", "-", 401, "", ""},
				{"GET /v1/things/7", "", 403, "", ""},
				{"GET /v1/things/7", "things:read", 200, "thing 7 of acme", "59"},
				{"POST /v1/things", "things:read", 403, "", ""},
				{"POST /v1/things", "things:read things:write", 201, "", "59"},
				{"GET /v1/reports/june", "things:read", 403, "", ""},
				{"GET /v1/reports/june", "reports:read", 200, "report june of acme", "50"},
				{"GET /v1/nothing", "", 404, "", ""},
			} {
				method, path, _ := strings.Cut(c.request, " ")
				r := httptest.NewRequest(method, path, nil)
				var key *latchkeytest.Key
				if c.scopes != "-" {
					key = latchkeytest.CreateKey(t, guard, latchkey.NewKey{Owner: "acme", Scopes: strings.Fields(c.scopes)})
					r = key.Request(method, path, nil)
				}
				w := httptest.NewRecorder()
				api.ServeHTTP(w, r)
				if w.Code != c.status || !strings.HasPrefix(w.Body.String(), c.answer) {
					t.Errorf("%s with %q is answered %d, got %d: %s", c.request, c.scopes, c.status, w.Code, w.Body)
				}
				if got := w.Header().Get("RateLimit"); c.status < 400 && c.left != "" && !strings.HasPrefix(got, `"minute";r=`+c.left+";") {
					t.Errorf("%s with %q leaves %s, got %s", c.request, c.scopes, c.left, got)
				}
			}
		})
	}
}

func TestAKeysLastUseNamesTheRoute(t *testing.T) {
	for name, router := range map[string]func(*middleware.Guard) http.Handler{"chi": routers.Chi, "gorilla/mux": routers.Gorilla} {
		guard := latchkeytest.NewGuard(t, latchkeytest.Options{})
		key := latchkeytest.CreateKey(t, guard, latchkey.NewKey{Scopes: []string{"reports:read"}})
		router(guard).ServeHTTP(httptest.NewRecorder(), key.Request("GET", "/v1/reports/june", nil))
		use, err := guard.Keys().Usage(t.Context(), key.ID, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		if last := use.Last(); last.Route != "GET /v1/reports/{name}" || last.Status != 200 {
			t.Errorf("%s: the last use is %+v", name, last)
		}
	}
}

// TestAnInnerRefusalIsOneDecision and is charged nothing.
func TestAnInnerRefusalIsOneDecision(t *testing.T) {
	for name, router := range map[string]func(*middleware.Guard) http.Handler{"chi": routers.Chi, "gorilla/mux": routers.Gorilla} {
		guard := latchkeytest.NewGuard(t, latchkeytest.Options{})
		key := latchkeytest.CreateKey(t, guard, latchkey.NewKey{Limits: []apikey.Limit{apikey.PerMinute(1)}})
		api := router(guard)
		for _, step := range []struct {
			path   string
			status int
		}{{"/v1/reports/june", 403}, {"/v1/reports/june", 403}, {"/v1/me", 200}, {"/v1/me", 429}} {
			w := httptest.NewRecorder()
			if api.ServeHTTP(w, key.Request("GET", step.path, nil)); w.Code != step.status {
				t.Errorf("%s: %s is answered %d, got %d", name, step.path, step.status, w.Code)
			}
		}
	}
}
