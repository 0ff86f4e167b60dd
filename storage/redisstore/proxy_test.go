package redisstore_test

import (
	"bufio"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// proxy stands between a client and a server. It counts the scripts that are
// asked for, and may treat replies badly.
type proxy struct {
	listener net.Listener
	server   string

	mu      sync.Mutex
	conns   []net.Conn
	scripts int
	mode    string // "", "shift": replies come one question late, or "drop"
}

func newProxy(t testing.TB, server string) *proxy {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	p := &proxy{listener: l, server: server}
	go p.accept()
	t.Cleanup(func() {
		_ = l.Close()
		p.cut()
	})
	return p
}

func (p *proxy) addr() string { return p.listener.Addr().String() }

func (p *proxy) set(mode string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mode = mode
}

// cut ends all connections.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		_ = c.Close()
	}
	p.conns = nil
}

// asked returns how many scripts have been asked for.
func (p *proxy) asked() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.scripts
}

func (p *proxy) accept() {
	for {
		down, err := p.listener.Accept()
		if err != nil {
			return
		}
		up, err := net.Dial("tcp", p.server)
		if err != nil {
			_ = down.Close()
			continue
		}
		p.mu.Lock()
		p.conns = append(p.conns, down, up)
		p.mu.Unlock()
		go p.requests(down, up)
		go p.replies(up, down)
	}
}

func (p *proxy) requests(from, to net.Conn) {
	defer to.Close()
	r := bufio.NewReader(from)
	for {
		message, err := readMessage(r)
		if err != nil {
			return
		}
		p.mu.Lock()
		if strings.Contains(strings.ToUpper(message[:min(len(message), 30)]), "\nEVAL") {
			p.scripts++
		}
		p.mu.Unlock()
		if _, err := io.WriteString(to, message); err != nil {
			return
		}
	}
}

func (p *proxy) replies(from, to net.Conn) {
	defer to.Close()
	r := bufio.NewReader(from)
	last, shifted := "", false
	for {
		message, err := readMessage(r)
		if err != nil {
			return
		}
		p.mu.Lock()
		mode := p.mode
		p.mu.Unlock()
		late := message
		switch {
		case mode == "drop":
			continue
		case mode == "shift" && last != "" || shifted: // the reply before, and from now on
			late, shifted = last, true
		}
		if last = message; late == "" {
			late = message
		}
		if _, err := io.WriteString(to, late); err != nil {
			return
		}
	}
}

// readMessage reads one value of the protocol, in versions 2 and 3.
func readMessage(r *bufio.Reader) (string, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return "", err
	}
	n, _ := strconv.Atoi(strings.TrimSpace(line[1:]))
	switch line[0] {
	case '$', '=', '!':
		if n < 0 {
			return line, nil
		}
		body := make([]byte, n+2)
		_, err := io.ReadFull(r, body)
		return line + string(body), err
	case '%':
		n *= 2
	case '*', '~', '>':
	default:
		return line, nil
	}
	all := line
	for range n {
		part, err := readMessage(r)
		if err != nil {
			return "", err
		}
		all += part
	}
	return all, nil
}
