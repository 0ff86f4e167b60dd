package apikey

import (
	"net"
	"net/url"
	"strings"
)

// Environment is a separate world for keys, such as production or a sandbox.
// Its name is part of the key ("sk_live_…"), and its keys work on its hosts
// only.
type Environment struct {
	// Name is part of the token: a-z and 0-9, at most 16 characters.
	Name string
	// BaseURL is where clients reach the environment, for example
	// "https://api.example.com". Refusals and the settings page show it.
	BaseURL string
	// Hosts are the Host values that belong to the environment, with or
	// without a port; a host without a port matches any. Empty means the host
	// of BaseURL.
	Hosts []string
	// AnyHost accepts the environment's keys on every host. A service with more
	// than one environment must either bind each to hosts, or set AnyHost and
	// separate their data by [Principal.Environment] itself.
	AnyHost bool
}

// LiveAndTest returns the two usual environments, production and sandbox, each
// bound to the host of its base URL.
func LiveAndTest(liveURL, testURL string) []Environment {
	return []Environment{{Name: "live", BaseURL: liveURL}, {Name: "test", BaseURL: testURL}}
}

// Normalize checks the environment and brings it into the form in which a service uses it: BaseURL without a trailing
// slash, Hosts in lower case, that of BaseURL if there are none. only says that the service has no other environment:
// then it may be bound to no host. An error is [InvalidArgument] and names the field.
func (e *Environment) Normalize(only bool) error {
	if e.Name == "" || len(e.Name) > 16 || strings.Trim(e.Name, "abcdefghijklmnopqrstuvwxyz0123456789") != "" {
		return invalidf("Name", "%q must be 1 to 16 characters of a-z and 0-9", e.Name)
	}
	e.Hosts = append([]string(nil), e.Hosts...)
	if e.BaseURL != "" {
		u, err := url.Parse(e.BaseURL)
		if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
			return invalidf("BaseURL", "%q must be a URL like https://api.example.com", e.BaseURL)
		}
		e.BaseURL = strings.TrimSuffix(e.BaseURL, "/")
		if len(e.Hosts) == 0 {
			e.Hosts = []string{u.Host}
		}
	}
	for i, h := range e.Hosts {
		e.Hosts[i] = normalHost(h)
		if e.Hosts[i] == "" || strings.ContainsAny(h, "/ @") {
			return invalidf("Hosts", "%q must be a host name, with or without a port", h)
		}
	}
	switch {
	case e.AnyHost:
		e.Hosts = nil
	case len(e.Hosts) == 0 && only:
		e.AnyHost = true
	case len(e.Hosts) == 0:
		return invalidf("BaseURL", "environment %q is bound to no host: set BaseURL or Hosts, so that its keys are refused elsewhere, or AnyHost", e.Name)
	}
	return nil
}

// Serves reports whether a request's Host belongs to the environment. It tries
// exact matches first: in a well-configured service there are no others.
func (e *Environment) Serves(host string) bool {
	if e.AnyHost {
		return true
	}
	for _, h := range e.Hosts {
		if h == host {
			return true
		}
	}
	host = normalHost(host)
	name := hostName(host)
	for _, h := range e.Hosts {
		if h == host || h == name {
			return true
		}
	}
	return false
}

// normalHost lower-cases a Host value and removes the trailing dot of an
// absolute name.
func normalHost(host string) string {
	host = strings.ToLower(host)
	if name, port, err := net.SplitHostPort(host); err == nil {
		if port == "" {
			return strings.TrimSuffix(name, ".")
		}
		return net.JoinHostPort(strings.TrimSuffix(name, "."), port)
	}
	return strings.TrimSuffix(host, ".")
}

// hostName removes the port.
func hostName(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		return name
	}
	return host
}
