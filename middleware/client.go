package middleware

import (
	"net/netip"
	"strings"
)

// client finds the address of the client; invalid when it cannot be told.
func (g *Guard) client(r *Request) netip.Addr {
	addr := r.PeerAddr
	if !addr.IsValid() {
		addr = parseAddr(r.Peer)
	}
	addr = addr.Unmap()
	if len(g.o.TrustedProxies) == 0 || !g.trusted(addr) {
		return addr
	}
	return g.forwarded(addr, r.Fields.Values("X-Forwarded-For"))
}

// forwarded walks X-Forwarded-For from the right, where our own proxies wrote.
// Left of the first address that is not theirs stands what anybody may have
// made up. When all are theirs the client is one of them: the leftmost.
func (g *Guard) forwarded(addr netip.Addr, lines []string) netip.Addr {
	for i := len(lines) - 1; i >= 0; i-- {
		for rest, more := lines[i], true; more; {
			last := rest
			if comma := strings.LastIndexByte(rest, ','); comma >= 0 {
				rest, last = rest[:comma], rest[comma+1:]
			} else {
				more = false
			}
			addr = parseAddr(strings.Trim(last, " \t")).Unmap()
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

// parseAddr reads an address with or without a port; invalid when it is none.
func parseAddr(s string) netip.Addr {
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.Addr()
	}
	if strings.HasPrefix(s, "[") && strings.HasSuffix(s, "]") {
		s = s[1 : len(s)-1]
	}
	addr, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Addr{}
	}
	return addr
}
