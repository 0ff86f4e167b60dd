package middleware_test

import (
	"net/http"
	"net/netip"
	"testing"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/middleware"
)

func TestClientAddress(t *testing.T) {
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8:ffff::/48")}
	k := newKit(t, middleware.Options{TrustedProxies: proxies})
	_, token := k.key(wide, func(n *latchkey.NewKey) {
		n.Networks = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8:1::/48")}
	})
	_, proxied := k.key(wide, func(n *latchkey.NewKey) { n.Networks = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")} })
	for _, c := range []struct {
		rule      string
		token     string
		peer      string
		forwarded []string
		want      bool
	}{
		{"the peer counts", token, "192.0.2.1:1234", nil, true},
		{"an IPv6 peer counts", token, "[2001:db8:1::5]:1234", nil, true},
		{"a mapped IPv4 peer counts", token, "[::ffff:192.0.2.1]:1234", nil, true},
		{"a peer elsewhere is refused", token, "203.0.113.9:1234", nil, false},
		{"a stranger's X-Forwarded-For is not looked at", token, "203.0.113.9:1234", []string{"192.0.2.1"}, false},
		{"nor does it harm", token, "192.0.2.1:1234", []string{"203.0.113.9"}, true},
		{"a proxy's is", token, "10.0.0.1:1234", []string{"192.0.2.1"}, true},
		{"an IPv6 proxy's is", token, "[2001:db8:ffff::1]:1234", []string{"192.0.2.1"}, true},
		{"a mapped proxy's is", token, "[::ffff:10.0.0.1]:1234", []string{"192.0.2.1"}, true},
		{"what the client made up stands left", token, "10.0.0.1:1234", []string{"192.0.2.1, 203.0.113.9"}, false},
		{"also in a line of its own", token, "10.0.0.1:1234", []string{"192.0.2.1", "203.0.113.9"}, false},
		{"proxies are skipped", token, "10.0.0.1:1234", []string{"203.0.113.9, 192.0.2.1, 10.1.1.1,10.2.2.2"}, true},
		{"in all lines", token, "10.0.0.1:1234", []string{"203.0.113.9, 192.0.2.1", "10.1.1.1"}, true},
		{"with ports", token, "10.0.0.1:1234", []string{"192.0.2.1:5555, [2001:db8:ffff::2]:80"}, true},
		{"in brackets", token, "10.0.0.1:1234", []string{"[2001:db8:1::7]"}, true},
		{"half a bracket is malformed", token, "10.0.0.1:1234", []string{"[192.0.2.1"}, false},
		{"malformed closes", token, "10.0.0.1:1234", []string{"192.0.2.1, unknown"}, false},
		{"malformed further left is not looked at", token, "10.0.0.1:1234", []string{"unknown, 192.0.2.1"}, true},
		{"an empty element closes", token, "10.0.0.1:1234", []string{"192.0.2.1,"}, false},
		{"an empty line closes", proxied, "10.0.0.1:1234", []string{""}, false},
		{"no X-Forwarded-For: the proxy itself", proxied, "10.0.0.1:1234", nil, true},
		{"all are proxies: the leftmost", proxied, "10.0.0.1:1234", []string{"10.3.3.3, 10.2.2.2"}, true},
		{"no peer closes", token, "", nil, false},
		{"a unix socket closes", token, "@", []string{"192.0.2.1"}, false},
	} {
		r := get(c.token)
		r.RemoteAddr = c.peer
		for _, line := range c.forwarded {
			r.Header.Add("X-Forwarded-For", line)
		}
		res := serve(k.guard.Require(middleware.AnyKey())(noContent), r)
		if got := res.StatusCode == http.StatusNoContent; got != c.want {
			t.Errorf("%s: %s %q: got %d", c.rule, c.peer, c.forwarded, res.StatusCode)
		}
	}
	for _, c := range []struct {
		rule    string
		o       middleware.Options
		peer    string
		forward string
		want    bool
	}{
		{"a mapped network of proxies", middleware.Options{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("::ffff:10.0.0.0/104")}}, "10.0.0.1:1234", "192.0.2.1", true},
		{"a peer without a port", middleware.Options{TrustedProxies: proxies}, "10.0.0.1", "192.0.2.1", true},
		{"a peer with a zone", middleware.Options{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("fe80::/10")}}, "[fe80::1%eth0]:80", "192.0.2.1", true},
		{"a socket that is trusted in words", middleware.Options{TrustUnixSocket: true}, "@", "192.0.2.1", true},
		{"one with a path", middleware.Options{TrustUnixSocket: true}, "/run/proxy.sock", "192.0.2.1", true},
		{"a socket where every address is trusted", middleware.Options{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}}, "@", "192.0.2.1", true},
		{"a socket where only IPv4 is trusted", middleware.Options{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}}, "@", "192.0.2.1", false},
		{"a socket that is trusted, and a client elsewhere", middleware.Options{TrustUnixSocket: true}, "@", "203.0.113.9", false},
		{"a socket's trust is not an address's", middleware.Options{TrustUnixSocket: true}, "10.0.0.1:1234", "192.0.2.1", false},
		{"what is neither a socket nor an address", middleware.Options{TrustUnixSocket: true}, "proxy.local:80", "192.0.2.1", false},
		{"a proxy behind a socket and a proxy", middleware.Options{TrustUnixSocket: true, TrustedProxies: proxies}, "@", "192.0.2.1, 10.1.1.1", true},
	} {
		k := newKit(t, c.o)
		_, token := k.key(wide, func(n *latchkey.NewKey) { n.Networks = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")} })
		r := get(token)
		r.RemoteAddr = c.peer
		r.Header.Set("X-Forwarded-For", c.forward)
		res := serve(k.guard.Require(middleware.AnyKey())(noContent), r)
		if got := res.StatusCode == http.StatusNoContent; got != c.want {
			t.Errorf("%s: got %d", c.rule, res.StatusCode)
		}
		if got := k.guard.ClientAddr(r) == netip.MustParseAddr("192.0.2.1"); got != c.want {
			t.Errorf("%s: the guard says that the client is %v", c.rule, k.guard.ClientAddr(r))
		}
	}
	o := decide(k.guard, middleware.AnyKey(), middleware.Request{
		Fields: get(token).Header, Host: "api.example.com", PeerAddr: netip.MustParseAddr("192.0.2.1"), Peer: "@",
	})
	if !o.Allowed() {
		t.Errorf("PeerAddr goes before Peer: %v", o.Code())
	}
}
