package main

import "time"

// distribution is how long requests took that came at a steady pace, of
// several contestants.
type distribution struct {
	title string
	lines []latencyLine
}

// latencyLine is one contestant, with its points in order of quantile.
type latencyLine struct {
	name   string
	points []latencyPoint
}

// latencyPoint says that a part of the requests took no longer: 0.5, 0.9,
// 0.99, 0.999, 0.9999, and 1 for all.
type latencyPoint struct {
	quantile float64
	latency  time.Duration
}
