package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// defaultSuites take a few minutes together.
const defaultSuites = "peers,accuracy,micro"

// suiteHelp has a line for each suite, in the order of "-suite all".
var suiteHelp = []struct{ name, line string }{
	{"peers", "the whole job of a request beside hand-written middleware, echo and fiber; limiters alone"},
	{"accuracy", "the most that each limiter admits in any window, the least that it leaves a steady client"},
	{"micro", "the steps of a request, what refusals and an armed cut cost; time, bytes, allocations"},
	{"load", "a real server on loopback: throughput and CPU a request, then latency at a constant rate"},
	{"revoke", "from Revoke to the last request that it cuts, and to the last that is accepted"},
	{"memory", "bytes a key takes, idle keys, the cost of a collection, reads of the store"},
	{"store", "each store beside a bare use of what it is made of"},
	{"adapters", "what each of our adapters adds to a route of its framework, beside what people use there without it"},
	{"page", "the settings page's list with 100,000 keys, and what lists do to the API beside them"},
	{"shutdown", "flushes of 20,000 and 100,000 keys, the API beside them, what a kill -9 loses, Close; fails when a goal is missed"},
	{"flood", "what tokens of unknown keys, thousands a second, do to requests with good keys; exits 1 when a goal is missed"},
	{"shared", "limiters that processes share, in Redis and PostgreSQL, beside INCR, UPDATE, redis_rate and ulule; needs their servers"},
	{"cold", "the first request of a key that is not in the cache, and the memory of the process"},
}

// helped returns the names of all suites, in the order of suiteHelp.
func helped() (names []string) {
	for _, h := range suiteHelp {
		if suites[h.name] != nil {
			names = append(names, h.name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(suites)) {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// chosenSuites reads the value of -suite.
func chosenSuites(list string) (names []string, err error) {
	for name := range strings.SplitSeq(list, ",") {
		switch {
		case name == "all":
			names = append(names, helped()...)
		case suites[name] != nil:
			names = append(names, name)
		default:
			return nil, fmt.Errorf("-suite: no suite %q; there are %s, and all", name, strings.Join(helped(), ", "))
		}
	}
	for i := range names {
		if slices.Contains(names[:i], names[i]) {
			return nil, fmt.Errorf("-suite: %s is there twice", names[i])
		}
	}
	return names, nil
}

func writeSuites(w io.Writer) {
	fmt.Fprintln(w, "\nSuites:")
	for _, name := range helped() {
		line := ""
		if i := slices.IndexFunc(suiteHelp, func(h struct{ name, line string }) bool { return h.name == name }); i >= 0 {
			line = suiteHelp[i].line
		}
		fmt.Fprintf(w, "  %-9s %s\n", name, line)
	}
}
