package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"
)

// A client is this program once more, told so by an environment variable: it
// sends requests at a constant rate from a process of its own, and rests in
// between.
const clientVariable = "LATCHKEY_BENCH_CLIENT"

// clientPlan is what a client gets on its standard input.
type clientPlan struct {
	Address     string
	Requests    [][]byte
	Order       []uint32 // in which they are sent, over and over
	Offset      int      // to begin at
	Connections int
	Size        int // of the longest answer
	Every       time.Duration
	Length      time.Duration
	Drop        bool // requests that have not been sent by then
}

// clientReport is what it writes on its standard output.
type clientReport struct {
	Error   string `json:",omitempty"`
	N       int
	Took    time.Duration
	Longest time.Duration
	Latency map[int]uint64 // of a histogram: its buckets that are not empty
}

func (r *clientReport) histogram() *histogram {
	h := newHistogram()
	for i, n := range r.Latency {
		h.counts[i] = n
		h.n += n
	}
	h.max = r.Longest
	return h
}

// runClient is the whole of the client process.
func runClient() error {
	var p clientPlan
	if err := json.NewDecoder(os.Stdin).Decode(&p); err != nil {
		return err
	}
	var r clientReport
	v, err := p.run()
	if err != nil {
		r.Error = err.Error()
	} else {
		r = clientReport{N: v.n, Took: v.took, Longest: v.latency.max, Latency: map[int]uint64{}}
		for i, n := range v.latency.counts {
			if n > 0 {
				r.Latency[i] = n
			}
		}
	}
	return json.NewEncoder(os.Stdout).Encode(r)
}

func (p *clientPlan) run() (v volley, err error) {
	var sockets []*socket
	var wires []wire
	for range p.Connections {
		s, err := dialSocket(p.Address, p.Requests, p.Size)
		if err != nil {
			return v, err
		}
		defer s.close()
		sockets, wires = append(sockets, s), append(wires, s)
	}
	for _, w := range wires { // a connection costs the server more than a request
		if status, err := ask(w, p.Order[0]); err != nil || status != 200 {
			return v, fmt.Errorf("the first request was answered with %d: %w", status, err)
		}
	}
	rest, err := resting(sockets)
	if err != nil {
		return v, err
	}
	start := time.Now()
	return generate(wires, p.Order, p.Offset, pace{every: p.Every, length: p.Length, drop: p.Drop, rest: rest}, func() time.Duration { return time.Since(start) })
}

// client runs a client to its end.
func client(p clientPlan) (r clientReport, err error) {
	program, err := os.Executable()
	if err != nil {
		return r, err
	}
	c := exec.Command(program)
	c.Env = append(os.Environ(), clientVariable+"=1", "GOMAXPROCS=1")
	c.Stderr = os.Stderr
	in, err := c.StdinPipe()
	if err != nil {
		return r, err
	}
	out, err := c.StdoutPipe()
	if err != nil {
		return r, err
	}
	if err := c.Start(); err != nil {
		return r, err
	}
	err = errors.Join(json.NewEncoder(in).Encode(p), in.Close(), json.NewDecoder(out).Decode(&r), c.Wait())
	if err == nil && r.Error != "" {
		err = errors.New(r.Error)
	}
	return r, err
}

// asked reports whether this program was started as a client or as the load
// suite's server, and is that to its end.
func asked() (yes bool, err error) {
	if _, ok := os.LookupEnv(clientVariable); ok {
		return true, runClient()
	}
	if plan, ok := os.LookupEnv(loadServerVariable); ok {
		return true, serveLoad(plan, os.Stdin, os.Stdout)
	}
	if dsn, ok := os.LookupEnv(floodServerVariable); ok {
		return true, serveFlood(dsn, os.Stdin, os.Stdout)
	}
	return false, nil
}
