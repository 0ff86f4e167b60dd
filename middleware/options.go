package middleware

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/internal/bounds"
	"github.com/wontopos/latchkey/limiter"
)

// Options configures a [Guard]. The zero value is ready to use: keys come as
// "Authorization: Bearer", and limits are counted in this process and, on a
// store that can keep them, survive its restart. New copies and checks the
// Options.
type Options struct {
	// Limiter decides the limits. By default the Guard makes a [limiter.Window] of
	// its own, with the store as its journal if the store is a [limiter.Journal].
	Limiter limiter.Limiter
	// FailOpen admits requests uncounted while the limiter cannot decide. Whoever
	// can make the limiter fail is then not limited. By default they are answered
	// with 503.
	FailOpen bool
	// OwnerLimits bound all keys of an owner together, in addition to each key's
	// own limits and in the same atomic step. Clients see them as "owner-<name>".
	OwnerLimits []apikey.Limit
	// OwnerPlans has the plans of owners, by the name of the owner: their limits
	// apply instead of OwnerLimits, which are for owners that it does not have
	// ([apikey.NotFound]). It is asked at an owner's first request, and again after
	// [latchkey.Service.RefreshPlans]. While it cannot be asked, requests of owners
	// whose plan was not looked up since then are answered with 503.
	OwnerPlans apikey.PlanSource
	// Shadow makes limits refuse nobody. They are decided and counted as if they
	// did, and OnDecision sees what they would have refused
	// ([Outcome.ShadowRefused]). Clients are told of no limits. Keys are checked as
	// ever.
	Shadow bool
	// HashTags makes the limiter's subjects begin with a hash tag of the owner, as
	// in {2f9a71c0b8d3e645}…, so that a Redis Cluster keeps the counts of an owner's
	// keys and of the owner on one server: there, a request is decided in one step.
	// A change of it makes all counts start from zero.
	HashTags bool

	// Extractors say where to look for a request's key; default [Bearer] alone. A
	// request with a key in two of the places is refused.
	Extractors []Extractor
	// Realm is the realm of the WWW-Authenticate challenge; default "api".
	// Printable ASCII.
	Realm string

	// TrustedProxies are the networks of the proxies in front of the server. The
	// client's address is the peer's, unless the peer is one of these: then it is
	// the rightmost address of X-Forwarded-For that is not one of these. If
	// X-Forwarded-For is unreadable there is no address, and keys that are bound
	// to networks are refused. 0.0.0.0/0 and ::/0 together trust every peer,
	// including one on a Unix socket: use them only for a server that nobody else
	// can reach.
	TrustedProxies []netip.Prefix
	// TrustUnixSocket trusts a proxy that connects through a Unix socket, which
	// has no address, like one of TrustedProxies. The permissions of the socket's
	// file decide who may open it.
	TrustUnixSocket bool

	// StripCredential takes the key out of the request that an http.Handler gets:
	// the cookie or query parameter in which it was found, and every header field in
	// which it occurs, such as a Referer that repeats the query. A handler that
	// forwards requests, such as httputil.ReverseProxy, then forwards no secret. The
	// path, other parameters and the body are left alone. Middleware around the guard
	// still sees the key, and so does an inner door of this Guard; an inner door of
	// another Guard finds no key. It costs a copy of the header's map.
	//
	// It holds behind net/http doors, and behind adapters that call
	// [Call.StripCredential], as latchconnect does. Handlers behind latchfiber and
	// latchgrpc still find the key.
	StripCredential bool

	// PreflightCORS lets CORS preflights (OPTIONS with Origin and
	// Access-Control-Request-Method) through to the handler without a key and
	// without a principal: browsers send no key with them.
	PreflightCORS bool
	// LegacyHeaders adds X-RateLimit-Limit, -Remaining and -Reset (seconds
	// since 1970) for the tightest window.
	LegacyHeaders bool

	// RequestID names a request in the body of its refusal. It is called for
	// refusals only. Default: X-Request-Id if it is 1 to 128 of A-Z, a-z, 0-9 and
	// "-._~+/=:@", otherwise a random text.
	RequestID func(ctx context.Context, f Fields) string
	// ErrorHandler answers a request that a net/http door refuses, in place of the
	// problem document. The header fields of the refusal are already set;
	// ErrorHandler writes the status and the body, for example with
	// [Outcome.ServeHTTP]. It must not call the next handler. It is not called for a
	// [Call], whose adapter answers.
	ErrorHandler func(w http.ResponseWriter, r *http.Request, o Outcome)
	// OnDecision sees every decision once it is final, for metrics and traces
	// ([Outcome.Route], [Outcome.Took]; package latchotel has both ready): a
	// refusal before it is answered, an admission by a net/http door when the
	// response begins or the handler has returned, and one of a [Call] when it
	// ends. Nested doors make one decision. It runs inside the request: be quick.
	OnDecision func(ctx context.Context, o Outcome)
	// OnCut sees each admitted request that was cut because its key ended, once,
	// when its handler has returned; for a hijacked connection, when that is closed.
	// [Outcome.Cause] says why. OnDecision has seen the admission before. It runs
	// inside the request, not inside the change of the key.
	OnCut func(ctx context.Context, o Outcome)

	// Logger gets what an operator should know; default [slog.Default].
	Logger *slog.Logger

	private   bool // some Extractor reads a field that shared caches do not recognize
	trustsAll bool // TrustedProxies contain every address
}

func (o *Options) prepare() error {
	if o.Realm == "" {
		o.Realm = "api"
	}
	if strings.ContainsFunc(o.Realm, func(r rune) bool { return r < ' ' || r > '~' }) {
		return invalidf("Options.Realm", "%q must be printable ASCII", o.Realm)
	}
	if len(o.OwnerLimits) > 0 {
		if err := (apikey.Plan{Name: "owner", Limits: o.OwnerLimits}).Validate(); err != nil {
			return invalidf("Options.OwnerLimits", "%v", err)
		}
		o.OwnerLimits = slices.Clone(o.OwnerLimits)
	}
	if len(o.Extractors) == 0 {
		o.Extractors = []Extractor{Bearer()}
	}
	o.Extractors, o.private = slices.Clone(o.Extractors), false
	for i, e := range o.Extractors {
		field := fmt.Sprintf("Options.Extractors[%d]", i)
		e.prepare()
		o.Extractors[i] = e
		if e.find == nil {
			return invalidf(field, "is the zero Extractor: use Bearer, Scheme, Header, Cookie, Subprotocol, BasicUser or InsecureQuery, or set Find")
		}
		if err := e.check(field); err != nil {
			return err
		}
		o.private = o.private || e.field() != "Authorization"
		for _, earlier := range o.Extractors[:i] {
			if earlier.place == e.place && earlier.name == e.name && e.place != inOwn {
				return invalidf(field, "%s is duplicated", e)
			}
		}
	}
	o.TrustedProxies = slices.Clone(o.TrustedProxies)
	all := 0
	for i, p := range o.TrustedProxies {
		n, ok := bounds.Network(p)
		if !ok {
			return invalidf(fmt.Sprintf("Options.TrustedProxies[%d]", i), "%v must be a network like 10.0.0.0/8 or 2001:db8::/32, of IPv4 in IPv4's own form", p)
		}
		o.TrustedProxies[i] = n
		if n.Bits() == 0 {
			all |= n.Addr().BitLen() // 32 or 128
		}
	}
	o.trustsAll = all == 32|128
	if o.RequestID == nil {
		o.RequestID = defaultRequestID
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return nil
}

func defaultRequestID(_ context.Context, f Fields) string {
	if values := f.Values("X-Request-Id"); len(values) == 1 && validRequestID(values[0]) {
		return values[0]
	}
	return randomID()
}

// randomID returns 24 characters with 120 random bits. They name a request and
// protect nothing, so math/rand/v2 is good enough.
func randomID() string {
	const base32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
	var id [24]byte
	for i, bits := 0, uint64(0); i < len(id); i++ {
		if i%12 == 0 {
			bits = rand.Uint64()
		}
		id[i] = base32[bits%32]
		bits /= 32
	}
	return string(id[:])
}

func validRequestID(s string) bool {
	if len(s) == 0 || len(s) > 128 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~+/=:@", c) >= 0) {
			return false
		}
	}
	return true
}
