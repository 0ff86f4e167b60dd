package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"time"
)

// The load suite has its server in a process of its own: this program once
// more, told so by an environment variable. The two talk in lines of JSON over
// standard input and output. The server ends when its input does, and so never
// outlives the bench.
const loadServerVariable = "LATCHKEY_BENCH_LOAD_SERVER"

// serverPlan is the value of the variable.
type serverPlan struct {
	Keys  int
	Names []string
	Core  int // to be pinned to; -1 is none
	// Profile is the folder for a CPU profile of the whole run; "" is none.
	Profile string
}

// serverHello is the first line from the server.
type serverHello struct {
	Error     string            `json:",omitempty"`
	Addresses map[string]string // of each contestant
	Auth      []string          // the Authorization lines of the keyset
}

// serverMark answers every line from the bench: the CPU time so far. A line is
// the beginning of a turn, before which the server collects its garbage, or the
// end of one, after which the usage that latchkey has counted is written.
type serverMark struct {
	Error string        `json:",omitempty"`
	CPU   time.Duration // at the beginning, or at the end
	Flush time.Duration // CPU time of the writing
}

const (
	turnBegins = "begin"
	turnEnds   = "end"
)

// serveLoad is the whole of the server process.
func serveLoad(text string, in io.Reader, out io.Writer) error {
	w := json.NewEncoder(out)
	var p serverPlan
	k, hello, err := p.open(text)
	if err != nil {
		return errors.Join(err, w.Encode(serverHello{Error: err.Error()}))
	}
	defer k.close()
	stop, err := plan{profile: p.Profile}.startProfile(cell{"load", p.Keys, zipfAll, 1})
	if err != nil {
		return errors.Join(err, w.Encode(serverHello{Error: err.Error()}))
	}
	defer stop()
	if err := w.Encode(hello); err != nil {
		return err
	}
	for lines := json.NewDecoder(in); ; {
		var line string
		switch err := lines.Decode(&line); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		var m serverMark
		if err := mark(k, line, &m); err != nil {
			m.Error = err.Error()
		}
		if err := w.Encode(m); err != nil {
			return err
		}
	}
}

func (p *serverPlan) open(text string) (*keyset, *serverHello, error) {
	if err := json.Unmarshal([]byte(text), p); err != nil {
		return nil, nil, err
	}
	if p.Core >= 0 {
		if _, err := pin(p.Core); err != nil {
			return nil, nil, err
		}
	}
	answer = answerJSON
	k, err := newKeyset(p.Keys, roomy)
	if err != nil {
		return nil, nil, err
	}
	hello := &serverHello{Addresses: map[string]string{}, Auth: k.auth}
	for _, c := range loadContestants() {
		if !slices.Contains(p.Names, c.name) {
			continue
		}
		h, _, err := c.handler(k)
		if err != nil {
			return nil, nil, err
		}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, nil, err
		}
		go func() { _ = http.Serve(l, h) }()
		hello.Addresses[c.name] = l.Addr().String()
	}
	return k, hello, nil
}

// mark takes the time at the beginning or the end of a turn. Usage is written
// here lest another contestant pays for it.
func mark(k *keyset, line string, m *serverMark) (err error) {
	if line == turnBegins {
		runtime.GC()
	}
	if m.CPU, err = processCPU(); err != nil || line == turnBegins {
		return err
	}
	if _, err = k.service.Usage(context.Background(), k.ids[0], time.Now()); err != nil {
		return err
	}
	after, err := processCPU()
	m.Flush = after - m.CPU
	return err
}

// loadServer is the server process as the bench has it.
type loadServer struct {
	serverHello
	process *exec.Cmd
	in      io.WriteCloser
	lines   *json.Decoder
}

func startLoadServer(p serverPlan) (*loadServer, error) {
	plan, err := json.Marshal(p)
	if err != nil {
		return nil, err
	}
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := exec.Command(program)
	c.Env = append(os.Environ(), loadServerVariable+"="+string(plan), "GOMAXPROCS=1")
	c.Stderr = os.Stderr
	s := &loadServer{process: c}
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
	s.lines = json.NewDecoder(out)
	if err = s.lines.Decode(&s.serverHello); err == nil && s.Error != "" {
		err = errors.New(s.Error)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("server: %w", err), s.stop())
	}
	return s, nil
}

// mark tells the server that a turn begins or ends.
func (s *loadServer) mark(line string) (m serverMark, err error) {
	if err := json.NewEncoder(s.in).Encode(line); err != nil {
		return m, err
	}
	if err := s.lines.Decode(&m); err != nil {
		return m, fmt.Errorf("server: %w", err)
	}
	if m.Error != "" {
		return m, errors.New("server: " + m.Error)
	}
	return m, nil
}

// stop ends the server by ending its input.
func (s *loadServer) stop() error { return errors.Join(s.in.Close(), s.process.Wait()) }
