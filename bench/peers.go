package main

import (
	"fmt"
	"net/http"
)

// peersSuite measures the whole job, then the limiters alone, for each number
// of keys, load and number of cores.
func peersSuite(o *options, out *report) error {
	for _, group := range []struct {
		suite string
		peers []peer
		loads []string
	}{
		{"peers", wholeJob(), []string{zipfBad, uniform}},
		{"limiters", limitersAlone(), []string{zipfAll, uniform}},
	} {
		peers := o.chosen(group.peers)
		if len(peers) == 0 {
			continue
		}
		out.progress("parity of %s", group.suite)
		if err := parity(peers); err != nil {
			return err
		}
		for _, p := range peers {
			out.setup(p)
		}
		for _, keys := range o.keys {
			loads := group.loads
			if keys == 1 {
				loads = []string{hot}
			}
			if err := peersWith(o, out, group.suite, peers, keys, loads); err != nil {
				return err
			}
		}
	}
	return nil
}

func peersWith(o *options, out *report, suite string, peers []peer, keys int, loads []string) error {
	out.progress("%s: %d keys: set-up", suite, keys)
	k := newIDs(keys, roomy)
	if suite != "limiters" {
		var err error
		if k, err = newKeyset(keys, roomy); err != nil {
			return err
		}
		defer k.close()
	}
	var contestants []contestant
	for _, p := range peers {
		ops, closer, err := p.open(k)
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		defer closer()
		c := contestant{name: p.name, ops: ops}
		if p.does == admitAll {
			c.want = func(uint32) int { return http.StatusOK }
		}
		contestants = append(contestants, c)
		// Every key once: what is made on first use is made.
		for f, token := ops(), 0; token < keys; token++ {
			if got := f(uint32(token)); got != http.StatusOK {
				return fmt.Errorf("%s: key %d was answered with %d", p.name, token, got)
			}
		}
	}
	for _, load := range loads {
		seq := k.sequence(load, min(1<<20, max(1<<12, 8*keys)))
		for _, cpu := range o.cpus {
			c := cell{suite, keys, load, cpu}
			out.progress("%s: %d keys, %s, %d CPU", suite, keys, load, cpu)
			all, err := measure(c, contestants, seq, keys, o.plan)
			if err != nil {
				return err
			}
			out.add(all...)
		}
	}
	return nil
}
