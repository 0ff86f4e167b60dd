package slots

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/rpc"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/limiter"
	"github.com/wontopos/latchkey/tools/wire"
)

// asProcess is the variable that makes a test binary one of the processes. It
// holds a Config.
const asProcess = "LATCHKEY_SLOTS_PROCESS"

// Config is what a process needs to open its limiter.
type Config struct {
	Address string        // where the server is, over TCP; Run sets it
	Name    string        // whatever else the process has to know, such as a DSN or a prefix
	Life    time.Duration // of slots that nobody renews
}

// Main makes this process one of those that [Run] starts, and ends it with its
// standard input. In any other process it does nothing.
func Main(open func(Config) (limiter.Settler, error)) {
	text := os.Getenv(asProcess)
	if text == "" {
		return
	}
	if err := serve(text, open); err != nil {
		fmt.Fprintln(os.Stderr, "slots:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func serve(text string, open func(Config) (limiter.Settler, error)) error {
	var config Config
	if err := json.Unmarshal([]byte(text), &config); err != nil {
		return err
	}
	l, err := open(config)
	if err != nil {
		return err
	}
	server := rpc.NewServer()
	if err := server.RegisterName("Limiter", calls{l}); err != nil {
		return err
	}
	server.ServeConn(pipe{os.Stdin, os.Stdout})
	return nil
}

// calls are what a process can be told.
type calls struct{ l limiter.Settler }

func (c calls) Take(r limiter.Request, d *limiter.Decision) (err error) {
	*d, err = c.l.Take(context.Background(), r)
	return err
}

func (c calls) Peek(r limiter.Request, d *limiter.Decision) (err error) {
	*d, err = c.l.Peek(context.Background(), r)
	return err
}

func (c calls) End(taken limiter.Decision, d *limiter.Decision) (err error) {
	*d, err = c.l.Settle(context.Background(), atOnce(limitN), taken, limiter.Settlement{Cost: 1, Over: true})
	return err
}

type pipe struct {
	io.Reader
	io.WriteCloser
}

// atOnce asks for one of n places.
func atOnce(n int64) limiter.Request {
	return limiter.Request{Demands: []limiter.Demand{{Subject: "streams", Limits: []apikey.Limit{{Name: "at-once", N: n, Concurrent: true}}}}}
}

// process is a limiter in a process of its own.
type process struct {
	cmd    *exec.Cmd
	wire   *wire.Wire
	client *rpc.Client

	// What the judge knows of it:
	places []limiter.Decision // of its requests in progress
	lost   bool               // it is dead, stands still, or does not reach the server
}

func start(j *judge, network, address string, config Config) *process {
	j.Helper()
	w, err := wire.New(network, address)
	must(j.T, err)
	config.Address = w.Addr()
	text, err := json.Marshal(config)
	must(j.T, err)
	program, err := os.Executable()
	must(j.T, err)
	p := &process{cmd: exec.Command(program), wire: w}
	p.cmd.Env = append(os.Environ(), asProcess+"="+string(text))
	p.cmd.Stderr = os.Stderr
	stdin, err := p.cmd.StdinPipe()
	must(j.T, err)
	stdout, err := p.cmd.StdoutPipe()
	must(j.T, err)
	must(j.T, p.cmd.Start())
	p.client = rpc.NewClient(pipe{stdout, stdin})
	j.Cleanup(func() {
		_ = p.cmd.Process.Kill() // also one that stands still
		_ = p.cmd.Wait()
		w.Heal()
		_ = w.Close()
	})
	j.all = append(j.all, p)
	return p
}

func (p *process) call(what string, about any) (d limiter.Decision, err error) {
	err = p.client.Call("Limiter."+what, about, &d)
	return d, err
}

// counted is how many requests are in progress, as the server knows it.
func (p *process) counted() (int, error) {
	const more = 100
	d, err := p.call("Peek", atOnce(more))
	return more - int(d.Windows[0].Remaining), err
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
