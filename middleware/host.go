package middleware

import (
	"net"
	"strings"
	"sync/atomic"
	"time"
)

// unknownHostEvery is how often the log tells of a host that nobody knows: whoever
// set the proxy up reads it once, and a client that makes hosts up cannot fill it.
const unknownHostEvery = time.Hour

// unknownHost remembers when the log last told of one.
type unknownHost struct{ last atomic.Int64 }

// mismatched looks at a key that does not belong to the request's host. A host of
// another environment is the client's mistake. One of no environment is likely to
// be a proxy's, which every client would be refused for.
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

// servesHost reports whether a host belongs to any environment, as far as a message
// has to know.
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

// forwardedHost is what proxies say that the client called, for the log alone.
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

// told cuts a word of a client's for the log, and takes secrets out of it.
func (g *Guard) told(word string) string {
	const most = 253 // of a name in DNS
	return g.keys.Redact(strings.ToValidUTF8(word[:min(len(word), most)], ""))
}

// mismatchDetail says where the key works, and when it may not be the client's
// fault, who should look where.
func (o *Outcome) mismatchDetail() string {
	env := o.verified.Environment()
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
