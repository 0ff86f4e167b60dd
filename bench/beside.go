package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/middleware"
)

// besideShape is how large the second part of the page suite is.
type besideShape struct {
	rounds      int
	turn        time.Duration
	apiRate     int // requests of the API's a second
	listRate    int // lists a second
	connections int // for each
}

// beside is one thing to do beside the requests of the API.
type beside struct {
	name    string
	address string   // empty: nothing
	pages   []string // addresses, asked for by turns
	turns   []besideTurn
}

type besideTurn struct {
	api, page clientReport
	cpu       time.Duration
}

// besideRun measures the API's requests while pages are asked for.
type besideRun struct {
	shape besideShape
	api   clientPlan
	arms  []*beside
	stop  []func()
}

func openBeside(s *site, tokens []string, of pageShape) (*besideRun, error) {
	shape := of.beside
	b := &besideRun{shape: shape}
	g, err := middleware.New(s.service, middleware.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, err
	}
	b.stop = append(b.stop, func() { _ = g.Close(context.Background()) })
	n := int(time.Duration(shape.listRate) * (shape.turn + 2*lead(shape)) / time.Second)
	walk, longest, err := s.lists(max(of.listed, n))
	if err != nil {
		return nil, err
	}
	lists, prepared := walk[:min(of.listed, len(walk))], make([]byte, len(longest))
	addresses := make([]string, 3)
	for i, h := range []http.Handler{
		wrapRequire(g),
		http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", strconv.Itoa(len(prepared)))
			_, _ = w.Write(prepared)
		}),
		s.handler,
	} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.close()
			return nil, err
		}
		server := &http.Server{Handler: h, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}
		go func() { _ = server.Serve(l) }()
		b.stop = append(b.stop, func() { _ = server.Close() })
		addresses[i] = l.Addr().String()
	}
	auth := make([]string, len(tokens))
	for i, t := range tokens {
		auth[i] = "Bearer " + t
	}
	b.api = clientPlan{
		Address: addresses[0], Requests: rawRequests(auth), Connections: shape.connections, Size: shortAnswer, Length: shape.turn,
		Every: time.Second / time.Duration(shape.apiRate), Order: newIDs(len(tokens), roomy).sequence(zipfAll, 1<<16),
	}
	b.arms = []*beside{
		{name: "alone"},
		{name: "beside prepared pages", address: addresses[1], pages: lists},
		{name: "beside lists", address: addresses[2], pages: lists},
		{name: "beside lists, no key in two of them", address: addresses[2], pages: walk},
		{name: "beside lists of the REST API", address: addresses[2], pages: []string{fmt.Sprintf("/v1/keys?limit=%d", pageRows)}},
	}
	return b, nil
}

func (b *besideRun) close() {
	for _, f := range slices.Backward(b.stop) {
		f()
	}
}

// plan asks for the pages for a time, at a rate.
func (b *beside) plan(shape besideShape, length time.Duration) clientPlan {
	p := clientPlan{
		Address: b.address, Connections: shape.connections, Size: 64 << 10,
		Every: time.Second / time.Duration(shape.listRate), Length: length, Drop: true,
	}
	for i, address := range b.pages {
		p.Requests = append(p.Requests, fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: keys.example.com\r\nUser-Agent: bench/1\r\n\r\n", address))
		p.Order = append(p.Order, uint32(i))
	}
	return p
}

// lists returns the addresses of the first n pages of the list, or of all, and
// the longest page of the first few.
func (s *site) lists(n int) (all []string, longest []byte, err error) {
	cursor := ""
	for range n {
		address := "/?cursor=" + url.QueryEscape(cursor)
		if len(all) < 20 {
			body, err := s.get(address)
			if err != nil {
				return nil, nil, err
			}
			if len(body) > len(longest) {
				longest = body
			}
		}
		all = append(all, address)
		page, err := s.service.List(context.Background(), latchkey.ListRequest{Owner: customer, OmitRevoked: true, Limit: pageRows, Cursor: cursor})
		if err != nil {
			return nil, nil, err
		}
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	return all, longest, nil
}

func (b *besideRun) run(out *report) error {
	for round := range b.shape.rounds {
		for turn := range b.arms {
			arm := b.arms[(turn+round)%len(b.arms)]
			out.progress("page: round %d of %d, %s", round+1, b.shape.rounds, arm.name)
			t, err := b.turn(arm, round)
			if err != nil {
				return fmt.Errorf("%s: %w", arm.name, err)
			}
			arm.turns = append(arm.turns, t)
		}
	}
	return nil
}

func (b *besideRun) turn(arm *beside, round int) (t besideTurn, err error) {
	runtime.GC()
	before, err := processCPU()
	if err != nil {
		return t, err
	}
	lead := lead(b.shape)
	var group sync.WaitGroup
	var pageErr error
	if arm.address != "" {
		group.Go(func() {
			t.page, pageErr = client(arm.plan(b.shape, b.shape.turn+2*lead))
		})
		time.Sleep(lead)
	}
	plan := b.api
	plan.Offset = round * 7919
	t.api, err = client(plan)
	group.Wait()
	after, cpuErr := processCPU()
	t.cpu = after - before
	return t, errors.Join(err, pageErr, cpuErr)
}

// lead is how long pages are asked for before the API's requests, and after them.
func lead(shape besideShape) time.Duration { return min(time.Second/2, shape.turn) }

const besideNote = `A real server of net/http on 127.0.0.1 in this process: the API behind a guard on one address, and on others the settings
page and, for comparison, prepared pages of the same size. Two clients in processes of their own send requests at
constant rates, due at fixed instants; latency counts from the instant at which a request was due. %d requests
of the API's a second with %d keys as in Zipf with s = 1.1, all good; %d pages a second, the first %d of the list by
turns. The handler makes each list anew, that of the REST API, of %d keys, too; only the banners above the first page, which
look at all keys, are kept for twenty times as long as it took to count them. Where no key is in two lists, every page of the
customer is asked for once, so that the store has not just read it. Lists wait when they come faster than the handler makes
them, and those that cannot be sent in time never are. %d rounds of %v, in which all take turns. Quantiles are of all rounds
together, and so is the ratio "of all"; "median", "lowest" and "highest" are those of the ratios within each round, which has
few requests beyond its p99. The ratios state what so many lists cost the API; they are no goals. Badger puts its tables in
order every few minutes, on all cores for a tenth of a second or two: a round that has it has a p99 twenty times as long,
whichever it is.

What this does not show: a machine with cores to spare. Here server, two clients and the database share %d, and so what
the prepared pages add is what any page of that size would.`

func (b *besideRun) report(out *report, name string) {
	shape := b.shape
	title := fmt.Sprintf("page: %d requests of the API's and %d lists a second, %s", shape.apiRate, shape.listRate, name)
	out.tables = append(out.tables, table{
		title: title,
		note: fmt.Sprintf(besideNote, shape.apiRate, len(b.api.Requests), shape.listRate, len(b.arms[2].pages), pageRows, shape.rounds, shape.turn,
			runtime.NumCPU()),
		columns: []string{
			"the API's requests", "p50", "p99", "p99.9", "longest", "p99 × alone, of all", "median", "lowest", "highest", "server CPU", "pages/s", "page p50", "page p99",
		},
	})
	for _, arm := range b.arms {
		api, page := newHistogram(), newHistogram()
		var cpu, pages []float64
		for _, t := range arm.turns {
			api.add(t.api.histogram())
			page.add(t.page.histogram())
			cpu = append(cpu, float64(t.cpu)/float64(t.api.Took))
			pages = append(pages, float64(t.page.N)/max(t.page.Took.Seconds(), 1e-9))
		}
		cells := []string{arm.name}
		for _, x := range []float64{0.5, 0.99, 0.999, 1} {
			cells = append(cells, micros(float64(api.quantile(x))))
		}
		q := arm.over(b.arms[0])
		cells = append(cells, fmt.Sprintf("%.2f", arm.p99()/b.arms[0].p99()), fmt.Sprintf("%.2f", median(q)), fmt.Sprintf("%.2f", slices.Min(q)), fmt.Sprintf("%.2f", slices.Max(q)), fmt.Sprintf("%.0f %%", 100*median(cpu)))
		if arm.address == "" {
			cells = append(cells, "-", "-", "-")
		} else {
			cells = append(cells, fmt.Sprintf("%.0f", median(pages)), micros(float64(page.quantile(0.5))), micros(float64(page.quantile(0.99))))
		}
		out.row(title, cells...)
	}
}

// p99 is that of the API's requests of all rounds.
func (b *beside) p99() float64 {
	all := newHistogram()
	for _, t := range b.turns {
		all.add(t.api.histogram())
	}
	return float64(all.quantile(0.99))
}

// over returns the ratios of p99 to those of another arm, round by round.
func (b *beside) over(other *beside) []float64 {
	p99 := func(t besideTurn) float64 { return float64(t.api.histogram().quantile(0.99)) }
	q := make([]float64, len(b.turns))
	for i, t := range b.turns {
		q[i] = p99(t) / p99(other.turns[i])
	}
	return q
}
