package main

import (
	"context"
	"net/http"
	"sync"
	"time"
)

// answers is what became of requests with good keys.
type answers struct {
	n, good, late int
	latency       *histogram // of those that were answered with 200
}

func newAnswers() answers { return answers{latency: newHistogram()} }

func (a *answers) add(b answers) {
	a.n, a.good, a.late = a.n+b.n, a.good+b.good, a.late+b.late
	a.latency.add(b.latency)
}

// inTime is the share that was served within coldWithin.
func (a *answers) inTime() float64 { return float64(a.good-a.late) / float64(max(1, a.n)) }

const askPatience = 10 * time.Second

func goodClient() *http.Client {
	return &http.Client{Timeout: askPatience, Transport: &http.Transport{MaxIdleConnsPerHost: 256}}
}

func askOnce(c *http.Client, address, token string) (status int) {
	r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://"+address+"/things", nil)
	if err != nil {
		return 0
	}
	r.Header.Set("Authorization", "Bearer "+token)
	answer, err := c.Do(r)
	if err != nil {
		return 0
	}
	_ = answer.Body.Close()
	return answer.StatusCode
}

// askEach sends one request after the other, with each token in turn, at a rate.
// None waits for another.
func askEach(address string, tokens []string, rate int, length time.Duration) answers {
	c := goodClient()
	defer c.CloseIdleConnections()
	var (
		group sync.WaitGroup
		mu    sync.Mutex
		sum   = newAnswers()
		began = time.Now()
	)
	for i := 0; ; i++ {
		due := began.Add(time.Duration(i) * time.Second / time.Duration(rate))
		if due.Sub(began) >= length {
			break
		}
		time.Sleep(time.Until(due))
		group.Go(func() {
			status := askOnce(c, address, tokens[i%len(tokens)])
			took := time.Since(due)
			mu.Lock()
			defer mu.Unlock()
			sum.n++
			if status != http.StatusOK {
				return
			}
			sum.good++
			sum.latency.record(took)
			if took > coldWithin {
				sum.late++
			}
		})
	}
	group.Wait()
	return sum
}

// warm asks with each token until it is served, for a time. Those that never were
// are counted by who asks then.
func warm(address string, tokens []string, within time.Duration) {
	c := goodClient()
	defer c.CloseIdleConnections()
	end := time.Now().Add(within)
	for _, token := range tokens {
		for askOnce(c, address, token) != http.StatusOK && time.Now().Before(end) {
			time.Sleep(10 * time.Millisecond)
		}
	}
}
