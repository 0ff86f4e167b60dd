package latchkeytest

import (
	"cmp"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/middleware"
)

// Key is a key for a test. Make one with [CreateKey].
type Key struct {
	// ID is for the methods of latchkey.Service: guard.Keys().Rotate, for example.
	ID string
	// Token is what a client sends. It prints redacted; Reveal returns the text.
	Token latchkey.Token

	t     testing.TB
	guard *middleware.Guard
	host  string     // of its environment; empty if any will do
	from  netip.Addr // in its networks; not valid if it has none
}

// by is who changes keys, in the audit trail.
var by = apikey.Actor{ID: "latchkeytest"}

// CreateKey makes a key that works with the guard, which need not be from
// [NewGuard]. Name and Owner are "test" unless they are given; everything else is
// as in [latchkey.Service.Create].
func CreateKey(t testing.TB, guard *middleware.Guard, n latchkey.NewKey) *Key {
	t.Helper()
	made, token := create(t, guard.Keys(), n)
	k := &Key{ID: made.ID, Token: token, t: t, guard: guard}
	for _, e := range guard.Keys().Environments() {
		if e.Name == made.Environment && len(e.Hosts) > 0 {
			k.host = e.Hosts[0]
		}
	}
	if len(made.Networks) > 0 {
		k.from = made.Networks[0].Addr()
	}
	return k
}

func create(t testing.TB, service *latchkey.Service, n latchkey.NewKey) (apikey.Key, latchkey.Token) {
	t.Helper()
	n.Name, n.Owner = cmp.Or(n.Name, "test"), cmp.Or(n.Owner, "test")
	made, token, err := service.Create(t.Context(), by, n)
	if err != nil {
		t.Fatalf("latchkeytest: correct the NewKey, or the options of the service: %v", err)
	}
	return made, token
}

// Request is [httptest.NewRequest] with the key, where the guard looks for it
// ([middleware.Guard.SetCredential]). Unless target names a host, the request is
// for a host of the key's environment. If the key is bound to networks, the
// request comes from one of them. To test other hosts and addresses, change Host
// and RemoteAddr.
func (k *Key) Request(method, target string, body io.Reader) *http.Request {
	r := httptest.NewRequest(method, target, body)
	if k.host != "" && strings.HasPrefix(target, "/") {
		r.Host = k.host
	}
	if k.from.IsValid() {
		r.RemoteAddr = netip.AddrPortFrom(k.from, 1234).String()
	}
	k.guard.SetCredential(r, k.Token.Reveal())
	return r
}

// Principal returns the principal of such a key, for a handler that is tested
// without a guard: pass it as an argument, or in the context, with
// [middleware.WithPrincipal]. Any plan and environment will do; everything else
// is checked as in [latchkey.Service.Create], with the defaults of [CreateKey].
func Principal(t testing.TB, n latchkey.NewKey) *apikey.Principal {
	t.Helper()
	var o latchkey.Options
	if n.Environment != "" {
		o.Environments = []apikey.Environment{{Name: n.Environment}}
	}
	if n.Plan != "" {
		o.Plans = []apikey.Plan{{Name: n.Plan, Unlimited: true}}
	}
	service, end := newService(t, o)
	defer end()
	made, _ := create(t, service, n)
	p := apikey.NewPrincipal(&made, made.Secrets[0].Number, nil)
	return &p
}
