package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The test binary is the program as well: started with this variable it is the
// quickstart, in a process of its own that can be killed.
const asProgram = "LATCHKEY_TEST_QUICKSTART"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// instance is a running quickstart.
type instance struct {
	cmd        *exec.Cmd
	live, test string // base URLs
	liveKey    string // empty on a second start
	testKey    string
	output     *lockedBuffer
	browser    *http.Client // signed in to the settings
	exited     chan error
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// start runs the quickstart on a database, until the test ends or it is
// stopped, and waits until it serves.
func start(t *testing.T, db string) *instance {
	t.Helper()
	in := &instance{output: new(lockedBuffer), exited: make(chan error, 1)}
	in.cmd = exec.Command(os.Args[0], "-db", db, "-port", "18080")
	in.cmd.Env = append(os.Environ(), asProgram+"=1")
	in.cmd.Stderr = in.output
	stdout, err := in.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := in.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ready := make(chan struct{})
	go func() {
		lines := bufio.NewScanner(stdout)
		for open := true; lines.Scan(); {
			fmt.Fprintln(in.output, lines.Text())
			if open && strings.Contains(lines.Text(), "curl -i") {
				close(ready)
				open = false
			}
		}
		in.exited <- in.cmd.Wait()
	}()
	t.Cleanup(func() { in.kill() })
	select {
	case <-ready:
	case err := <-in.exited:
		t.Fatalf("the quickstart ended: %v\n%s", err, in.output)
	case <-time.After(time.Minute):
		t.Fatalf("the quickstart did not start:\n%s", in.output)
	}
	text := in.output.String()
	in.live, in.test = find(t, text, `production (\S+)`), find(t, text, `sandbox +(\S+)`)
	if m := regexp.MustCompile(`sk_(live|test)_\w+`).FindAllString(text, -1); len(m) >= 2 {
		in.liveKey, in.testKey = m[0], m[1]
	}
	jar, _ := cookiejar.New(nil)
	in.browser = &http.Client{Jar: jar}
	res, err := in.browser.Get(find(t, text, `settings +(\S+)`))
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Fatalf("the printed link answers %s", res.Status)
	}
	return in
}

func find(t *testing.T, text, pattern string) string {
	t.Helper()
	m := regexp.MustCompile(pattern).FindStringSubmatch(text)
	if m == nil {
		t.Fatalf("%s is not in:\n%s", pattern, text)
	}
	return m[1]
}

// stop ends the program as Kubernetes and systemd do.
func (in *instance) stop(t *testing.T) {
	t.Helper()
	_ = in.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case err := <-in.exited:
		if err != nil {
			t.Errorf("SIGTERM ended it with %v:\n%s", err, in.output)
		}
		in.exited <- nil
	case <-time.After(30 * time.Second):
		t.Fatal("SIGTERM did not end the program")
	}
}

// kill ends the program as a power cut does, as far as a process can tell.
func (in *instance) kill() {
	_ = in.cmd.Process.Kill()
	err := <-in.exited
	in.exited <- err
}

// answer is what a request came back with.
type answer struct {
	status int
	header http.Header
	body   string
}

// get sends a request with a key.
func get(t testing.TB, url, key string) answer {
	t.Helper()
	return send(t, http.MethodGet, url, key, "")
}

func send(t testing.TB, method, url, key, body string) answer {
	t.Helper()
	r, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if key != "" {
		r.Header.Set("Authorization", "Bearer "+key)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{res.StatusCode, res.Header, string(text)}
}

// member returns a member of a JSON body, as text.
func (a answer) member(name string) string {
	var m map[string]any
	if json.Unmarshal([]byte(a.body), &m) != nil || m[name] == nil {
		return ""
	}
	return fmt.Sprint(m[name])
}

// rest calls the settings API and decodes its answer; an error is a refusal or
// a broken connection.
func (in *instance) rest(method, path string, body, into any) error {
	js, err := json.Marshal(body)
	if err != nil {
		return err
	}
	r, err := http.NewRequest(method, in.live+"/settings/api-keys/v1/"+path, bytes.NewReader(js))
	if err != nil {
		return err
	}
	if body == nil {
		r.Body = http.NoBody
	} else {
		r.Header.Set("Content-Type", "application/json")
	}
	res, err := in.browser.Do(r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode/100 != 2 {
		return fmt.Errorf("%s %s: %s: %s", method, path, res.Status, text)
	}
	if into == nil {
		return nil
	}
	return errors.Join(json.Unmarshal(text, into))
}

// issued is a key that the settings API made.
type issued struct {
	Token string `json:"token"`
	Key   struct {
		ID    string `json:"id"`
		State string `json:"state"`
	} `json:"key"`
}

func id(key string) string { return strings.Split(key, "_")[2] }
