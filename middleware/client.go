package middleware

import (
	"net/http"
	"net/netip"
	"strings"

	"github.com/wontopos/latchkey/internal/bounds"
)

// ClientAddr returns the address that the Guard takes for the client's,
// following [Options.TrustedProxies]: the one that is checked against a key's
// networks. It is not valid if it cannot be determined. Handlers and logs that
// use it agree with the guard.
func (g *Guard) ClientAddr(r *http.Request) netip.Addr {
	return g.client(&Request{Fields: headerFields(r.Header), Peer: r.RemoteAddr})
}

// client finds the address of the client; invalid if it cannot be determined.
func (g *Guard) client(r *Request) netip.Addr {
	addr := r.PeerAddr.Unmap()
	if !addr.IsValid() {
		addr = bounds.Address(r.Peer)
	}
	if !g.trustsPeer(addr, r.Peer) {
		return addr
	}
	return g.forwarded(addr, r.Fields.Values("X-Forwarded-For"))
}

// trustsPeer reports whether the peer is one of our proxies.
func (g *Guard) trustsPeer(addr netip.Addr, peer string) bool {
	if addr.IsValid() {
		return g.trusted(addr)
	}
	return (g.o.TrustUnixSocket || g.o.trustsAll) && bounds.Socket(peer)
}

// forwarded walks X-Forwarded-For from the right, where our own proxies wrote.
// Whatever stands to the left of the first address that is not theirs may be
// made up. If all are theirs, the client is one of them: the leftmost.
func (g *Guard) forwarded(addr netip.Addr, lines []string) netip.Addr {
	for i := len(lines) - 1; i >= 0; i-- {
		for rest, more := lines[i], true; more; {
			last := rest
			if comma := strings.LastIndexByte(rest, ','); comma >= 0 {
				rest, last = rest[:comma], rest[comma+1:]
			} else {
				more = false
			}
			addr = bounds.Address(strings.Trim(last, " \t"))
			if !addr.IsValid() || !g.trusted(addr) {
				return addr
			}
		}
	}
	return addr
}

func (g *Guard) trusted(addr netip.Addr) bool {
	addr = addr.WithZone("")
	for _, p := range g.o.TrustedProxies {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}
