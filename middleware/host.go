package middleware

import (
	"net"
	"strings"
	"sync/atomic"
	"time"
)

// unknownHostEvery is how often the log mentions an unknown host: whoever set
// up the proxy reads it once, and a client that makes up hosts cannot fill the
// log.
const unknownHostEvery = time.Hour

// unknownHost holds the time at which the log last mentioned one.
type unknownHost struct{ last atomic.Int64 }

// mismatched handles a key that does not belong to the request's host. If the
// host is another environment's, the client made a mistake. If it belongs to no
// environment, a proxy probably set it, and every client would be refused.
func (g *Guard) mismatched(r *Request, o *Outcome) {
	if o.unknownHost = !g.servesHost(r.Host); !o.unknownHost {
		return
	}
	now, last := int64(time.Since(processStart))+1, g.unknown.last.Load()
	if last != 0 && now-last < int64(unknownHostEvery) || !g.unknown.last.CompareAndSwap(last, now) {
		return
	}
	forwarded := forwardedHost(r.Fields)
	why := "if clients call the right address, a proxy in front changes Host: let it pass Host on, or add this one to Environment.Hosts"
	if forwarded != "" && o.verified.Serves(forwarded) {
		why = "a proxy in front has changed Host: let it pass Host on"
	}
	g.o.Logger.Warn("keys are refused because of a Host that belongs to no environment: "+why,
		"host", g.told(r.Host), "forwarded_host", g.told(forwarded), "environment", o.verified.Environment().Name, "see", "docs/operations.md")
}

// servesHost reports whether a host belongs to any environment, as far as a
// message needs to know.
func (g *Guard) servesHost(host string) bool {
	name := host
	if n, _, err := net.SplitHostPort(host); err == nil {
		name = n
	}
	for _, e := range g.keys.Environments() {
		if e.AnyHost {
			return true
		}
		for _, h := range e.Hosts {
			if strings.EqualFold(h, strings.TrimSuffix(host, ".")) || strings.EqualFold(h, strings.TrimSuffix(name, ".")) {
				return true
			}
		}
	}
	return false
}

// forwardedHost is the host that the client called according to proxies, for
// the log only.
func forwardedHost(f Fields) string {
	if v := f.Values("X-Forwarded-Host"); len(v) > 0 {
		host, _, _ := strings.Cut(v[0], ",")
		return strings.TrimSpace(host)
	}
	for _, line := range f.Values("Forwarded") {
		for part := range strings.FieldsFuncSeq(line, func(r rune) bool { return r == ';' || r == ',' }) {
			if name, value, _ := strings.Cut(strings.TrimSpace(part), "="); strings.EqualFold(name, "host") {
				return strings.Trim(value, `"`)
			}
		}
	}
	return ""
}

// told shortens a client's text for the log and removes secrets from it.
func (g *Guard) told(word string) string {
	const most = 253 // of a DNS name
	return g.keys.Redact(strings.ToValidUTF8(word[:min(len(word), most)], ""))
}

// mismatchDetail says where the key works and, if the client may not be at
// fault, who should check what.
func (o *Outcome) mismatchDetail() string {
	env := o.verified.Environment()
	if o.guard == nil { // of no request
		return "This key belongs to another environment, which is not served on this host. Use a key of this host's environment."
	}
	start := `This is a key of the environment "` + env.Name + `"`
	switch {
	case o.unknownHost && env.BaseURL != "":
		return start + ", and the request arrived under a Host that belongs to no environment. Send it to " + env.BaseURL + ". If you did, nothing is wrong with the key: " +
			"a proxy on the way has changed Host, and the operator of this service finds in its log which one arrived."
	case o.unknownHost:
		return start + ", and the request arrived under a Host that belongs to no environment. If you called the right address, a proxy on the way has changed Host, " +
			"and the operator of this service finds in its log which one arrived."
	case env.BaseURL == "":
		return start + ", which is not served on this host. Use a key of this host's environment."
	}
	return start + ". Send its requests to " + env.BaseURL + ", or use a key of this host's environment."
}
