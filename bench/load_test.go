package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestMain: the load suite starts this program again, as its server.
func TestMain(m *testing.M) {
	if yes, err := asked(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	} else if yes {
		return
	}
	os.Exit(m.Run())
}

// TestLoad runs the suite with every contestant for an instant.
func TestLoad(t *testing.T) {
	o := &options{only: regexp.MustCompile("")}
	r := newReport(io.Discard, nil)
	err := loadWith(o, r, loadShape{keys: 50, connections: 4, rounds: 2, turn: 20 * time.Millisecond})
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	if len(r.tables) != 2 || len(r.verdicts) != len(loadGoals) || len(r.distributions) != 1 {
		t.Fatalf("%d tables, %d verdicts, %d distributions", len(r.tables), len(r.verdicts), len(r.distributions))
	}
	for _, table := range r.tables {
		if len(table.rows) != len(loadContestants()) {
			t.Errorf("%s: %d contestants", table.title, len(table.rows))
		}
		for _, row := range table.rows {
			if len(row) != len(table.columns) {
				t.Errorf("%s: %d cells under %d columns", table.title, len(row), len(table.columns))
			}
		}
	}
	for _, line := range r.distributions[0].lines {
		last := time.Duration(0)
		for _, p := range line.points {
			if p.latency < last || p.latency == 0 {
				t.Errorf("%s: %v after %v", line.name, p.latency, last)
			}
			last = p.latency
		}
	}
	if page := r.markdown(); strings.Contains(page, "%!") || strings.Contains(page, "NaN") {
		t.Error(page)
	}
}

// TestLoadServerEndsWithItsInput: whatever becomes of the bench, no server is
// left behind.
func TestLoadServerEndsWithItsInput(t *testing.T) {
	s, err := startLoadServer(serverPlan{Keys: 1, Names: []string{"bare"}, Core: -1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.mark(turnBegins); err != nil && !strings.Contains(err.Error(), errors.ErrUnsupported.Error()) {
		t.Error(err)
	}
	if err := s.in.Close(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.process.Wait() }()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		_ = s.process.Process.Kill()
		t.Error("the server lives on after its input has ended")
	}
}

func TestLoadServerReportsItsError(t *testing.T) {
	var out strings.Builder
	if err := serveLoad("no plan", strings.NewReader(""), &out); err == nil || !strings.Contains(out.String(), `"Error":"`) {
		t.Errorf("%v, %q", err, out.String())
	}
}

func TestParseAnswer(t *testing.T) {
	const whole = "HTTP/1.1 200 OK\r\nDate: x\r\nContent-Length: 2\r\n\r\nok"
	for i := range len(whole) {
		if status, size, err := parseAnswer([]byte(whole[:i])); status != 0 || size != 0 || err != nil {
			t.Errorf("%q: status %d, size %d, %v; it is not complete", whole[:i], status, size, err)
		}
	}
	if status, size, err := parseAnswer([]byte(whole + "HTTP")); status != 200 || size != len(whole) || err != nil {
		t.Errorf("status %d, size %d, %v", status, size, err)
	}
	for _, bad := range []string{
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 2x\r\n\r\nok",
		"HTTP/1.1 2\r\n\r\n",
		"SMTP ready to be spoken to\r\n\r\n",
	} {
		if status, _, err := parseAnswer([]byte(bad)); err == nil {
			t.Errorf("%q was taken for an answer with status %d", bad, status)
		}
	}
}
