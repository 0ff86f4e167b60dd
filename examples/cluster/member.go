//go:build unix

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/wontopos/latchkey/tools/wire"
)

// member is an instance as its parent sees it.
type member struct {
	index   int
	name    string
	wires   []*wire.Wire // to its servers
	at      addresses
	process *os.Process
	stdin   io.Closer
	ended   chan struct{}
	slots   chan struct{} // bounds the load's requests under way
	client  *http.Client

	last atomic.Pointer[report] // nil when it does not answer

	// What the scripts tell the judge, in time since the beginning.
	cutAt    atomic.Int64 // since when the wire is cut; 0 when it is not
	troubled atomic.Bool  // something is being done to it
	calmAt   atomic.Int64 // when that was over
}

// most is how many requests of the load may be under way at one instance. Those
// beyond are not sent.
const most = 256

func startMember(ctx context.Context, i int, name string, d *database, r *redis, o options) (*member, error) {
	m := &member{
		index: i, name: name, ended: make(chan struct{}), slots: make(chan struct{}, most),
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: most, DisableCompression: true}},
	}
	c := instanceConfig{Name: name, DSN: d.dsn, Schema: d.schema, Lease: o.lease, Async: o.async}
	var err error
	if c.Proxy, err = m.reach(d.network, d.address); err != nil {
		return nil, err
	}
	if r != nil {
		if c.Redis, err = m.reach("tcp", r.server.Addr()); err != nil {
			return nil, err
		}
	}
	config, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	if i == 0 && o.before != "" {
		program = o.before
	}
	cmd := exec.Command(program)
	cmd.Env = append(os.Environ(), asInstance+"="+string(config))
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = new(syscall.SysProcAttr)
	endWithParent(cmd.SysProcAttr)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if m.stdin, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	started, ready := make(chan error, 1), make(chan error, 1)
	go func() {
		// The system kills the child with the thread that started it, so this
		// thread stays, and waits.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		line, err := bufio.NewReader(stdout).ReadBytes('\n')
		if err == nil {
			err = json.Unmarshal(line, &m.at)
		}
		ready <- err
		_ = cmd.Wait()
		close(m.ended)
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	m.process = cmd.Process
	select {
	case err = <-ready:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		_ = m.process.Kill()
		return nil, fmt.Errorf("instance %s did not start: %w", name, err)
	}
	return m, nil
}

// close ends the instance, and waits for it.
func (m *member) close() {
	m.heal()
	_ = m.process.Signal(syscall.SIGCONT)
	_ = m.stdin.Close()
	select {
	case <-m.ended:
	case <-time.After(5 * time.Second):
		_ = m.process.Kill()
		<-m.ended
	}
	for _, w := range m.wires {
		_ = w.Close()
	}
	m.client.CloseIdleConnections()
}

// reach makes a wire to a server, and returns where the instance finds it.
func (m *member) reach(network, address string) (string, error) {
	w, err := wire.New(network, address)
	if err != nil {
		return "", err
	}
	m.wires = append(m.wires, w)
	return w.Addr(), nil
}

// cut takes an instance's servers away, until heal.
func (m *member) cut(lossy bool) {
	for _, w := range m.wires {
		w.Cut(lossy)
	}
}

func (m *member) heal() {
	for _, w := range m.wires {
		w.Heal()
	}
}

// use sends a request with a key and returns the status; 0 is none.
func (m *member) use(ctx context.Context, k *key) int {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, m.at.API+"/v1/hello", nil)
	if err != nil {
		return 0
	}
	r.Header.Set("Authorization", "Bearer "+k.token)
	res, err := m.client.Do(r)
	if err != nil {
		return 0
	}
	_, _ = io.Copy(io.Discard, res.Body)
	_ = res.Body.Close()
	return res.StatusCode
}

// control calls the instance's other server.
func (m *member) control(ctx context.Context, method, path string, into any) error {
	r, err := http.NewRequestWithContext(ctx, method, m.at.Control+path, nil)
	if err != nil {
		return err
	}
	res, err := m.client.Do(r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return errors.New(strings.TrimSpace(string(text)))
	}
	return json.Unmarshal(text, into)
}

// health asks for the report, and keeps it for the table.
func (m *member) health(ctx context.Context) (report, error) {
	ctx, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
	defer cancel()
	var r report
	if err := m.control(ctx, http.MethodGet, "/health", &r); err != nil {
		m.last.Store(nil)
		return r, err
	}
	m.last.Store(&r)
	return r, nil
}
