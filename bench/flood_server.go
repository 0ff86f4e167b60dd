package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"runtime/metrics"
	"time"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/middleware"
	"github.com/wontopos/latchkey/storage/pgstore"
)

// The server of the flood suite is this program once more, told so by an
// environment variable that names its database. It ends when its input does.
const floodServerVariable = "LATCHKEY_BENCH_FLOOD_SERVER"

// floodHello is the first line from the server.
type floodHello struct {
	Error string `json:",omitempty"`
	API   string // address of the guarded handler
	State string // and of what the process tells of itself
}

// floodState is what the process tells of itself.
type floodState struct {
	Ready      bool
	Goroutines int
	Memory     uint64 // bytes that the runtime has from the system
}

func serveFlood(dsn string, in io.Reader, out io.Writer) error {
	hello, err := openFlood(dsn)
	if err != nil {
		hello.Error = err.Error()
	}
	if err := errors.Join(err, json.NewEncoder(out).Encode(hello)); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, in)
	return err
}

func openFlood(dsn string) (hello floodHello, err error) {
	quiet := slog.New(slog.DiscardHandler)
	store, err := pgstore.Open(context.Background(), dsn, pgstore.Options{Logger: quiet})
	if err != nil {
		return hello, err
	}
	service, err := latchkey.New(store, latchkey.Options{Logger: quiet, Plans: []apikey.Plan{roomy.plan()}})
	if err != nil {
		return hello, err
	}
	guard, err := middleware.New(service, middleware.Options{Logger: quiet})
	if err != nil {
		return hello, err
	}
	api := &http.Server{Handler: wrapRequire(guard), ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0), Protocols: new(http.Protocols)}
	api.Protocols.SetHTTP1(true)
	api.Protocols.SetUnencryptedHTTP2(true)
	state := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		memory := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
		metrics.Read(memory)
		_ = json.NewEncoder(w).Encode(floodState{
			service.Health().Ready, runtime.NumGoroutine(), memory[0].Value.Uint64() - memory[1].Value.Uint64(),
		})
	})}
	for server, address := range map[*http.Server]*string{api: &hello.API, state: &hello.State} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return hello, err
		}
		*address = l.Addr().String()
		go func() { _ = server.Serve(l) }()
	}
	return hello, nil
}

type floodServer struct {
	floodHello
	process *exec.Cmd
	in      io.WriteCloser
}

func startFloodServer(dsn string) (*floodServer, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := exec.Command(program)
	c.Env = append(os.Environ(), floodServerVariable+"="+dsn)
	c.Stderr = os.Stderr
	s := &floodServer{process: c}
	if s.in, err = c.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := c.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.Start(); err != nil {
		return nil, err
	}
	err = json.NewDecoder(out).Decode(&s.floodHello)
	if err == nil && s.Error != "" {
		err = errors.New(s.Error)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("server: %w", err), s.stop())
	}
	return s, nil
}

func (s *floodServer) stop() error { return errors.Join(s.in.Close(), s.process.Wait()) }

// floodPeaks are the highest figures of a server.
type floodPeaks struct {
	samples, notReady int // once it was ready
	goroutines        int
	memory            uint64
}

func (p *floodPeaks) add(q floodPeaks) {
	p.samples, p.notReady = p.samples+q.samples, p.notReady+q.notReady
	p.goroutines, p.memory = max(p.goroutines, q.goroutines), max(p.memory, q.memory)
}

// watch asks the server for its state until ctx ends.
func (s *floodServer) watch(ctx context.Context) (p floodPeaks) {
	c := &http.Client{Timeout: time.Second}
	defer c.CloseIdleConnections()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return p
		case <-tick.C:
		}
		answer, err := c.Get("http://" + s.State)
		if err != nil {
			continue
		}
		var now floodState
		err = json.NewDecoder(answer.Body).Decode(&now)
		_ = answer.Body.Close()
		if err != nil {
			continue
		}
		p.goroutines, p.memory = max(p.goroutines, now.Goroutines), max(p.memory, now.Memory)
		if now.Ready || p.samples > 0 {
			p.samples++
			if !now.Ready {
				p.notReady++
			}
		}
	}
}
