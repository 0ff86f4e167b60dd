package tree_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
	"github.com/wontopos/latchkey/storage/badgerstore"
)

// TestReadmeTranscriptIsOfItsProgram runs the first program of the README and sends what the transcript under it sends:
// every status line, header field and body is what the program answers, but for numbers, dates and the ids of requests.
func TestReadmeTranscriptIsOfItsProgram(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := fence.FindAllSubmatch(readme, -1)
	if len(blocks) < 2 || string(blocks[0][1]) != "go" || string(blocks[1][1]) != "console" {
		t.Fatal("README.md begins with a program and the transcript of its use")
	}
	host, key, hello := startHello(t)
	script := strings.NewReplacer("localhost:8080", host, "$KEY", key)
	steps := 0
	for step := range strings.SplitSeq(strings.TrimPrefix("\n"+string(blocks[1][2]), "\n$ "), "\n$ ") {
		command, want, _ := strings.Cut(step, "\n")
		got := runCurl(t, script.Replace(command))
		if normal(got) != normal(want) {
			t.Errorf("README.md: %s\nanswers\n%s\nnot\n%s", command, got, want)
		}
		steps++
	}
	if steps < 3 {
		t.Errorf("the transcript has %d commands", steps)
	}
	stopHello(t, hello)
}

// stopHello ends the program by SIGTERM and reads what it has written.
func stopHello(t *testing.T, hello *exec.Cmd) {
	t.Helper()
	if err := hello.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := hello.Wait(); err != nil {
		t.Fatalf("told to stop, the program of the README ends with %v", err)
	}
	store, err := badgerstore.Open(filepath.Join(hello.Dir, "keys.db"), badgerstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	all, err := store.List(t.Context(), storage.Query{Limit: 2})
	if err != nil || len(all.Records) != 1 {
		t.Fatalf("%d keys, error %v", len(all.Records), err)
	}
	used, err := store.Usage(t.Context(), all.Records[0].Key.ID, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	if len(used.Secrets) != 1 || used.Secrets[0].Counts != (apikey.Counts{Allowed: 60, RateLimited: 1}) {
		t.Errorf("of the transcript's requests the store knows %+v, want 60 that were admitted and one over the limit", used.Secrets)
	}
}

// startHello runs examples/hello on a free port, and makes a key.
func startHello(t *testing.T) (host, key string, hello *exec.Cmd) {
	t.Helper()
	l, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	host = fmt.Sprint("localhost:", l.Addr().(*net.TCPAddr).Port)
	l.Close()
	dir := t.TempDir()
	program, err := os.ReadFile("examples/hello/main.go")
	if err != nil {
		t.Fatal(err)
	}
	main, err := filepath.Abs("examples/hello/main.go")
	if err != nil {
		t.Fatal(err)
	}
	moved := filepath.Join(dir, "main.go")
	overlay, _ := json.Marshal(map[string]any{"Replace": map[string]string{main: moved}})
	for name, text := range map[string][]byte{moved: bytes.ReplaceAll(program, []byte("localhost:8080"), []byte(host)), filepath.Join(dir, "overlay.json"): overlay} {
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	binary := filepath.Join(dir, "hello.exe")
	build := exec.CommandContext(t.Context(), "go", "build", "-overlay", filepath.Join(dir, "overlay.json"), "-o", binary, "./examples/hello")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	hello = exec.CommandContext(t.Context(), binary)
	hello.Dir = dir
	out, err := hello.StdoutPipe()
	if err == nil {
		err = hello.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = hello.Process.Kill(); _ = hello.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	link, ok := strings.CutPrefix(strings.TrimSpace(line), "make a key: ")
	if !ok {
		t.Fatalf("the program says %q, error %v", line, err)
	}

	jar, _ := cookiejar.New(nil)
	browser := &http.Client{Jar: jar}
	for { // it says so before it listens
		if r, err := browser.Get(link); err == nil {
			r.Body.Close()
			break
		}
		if t.Context().Err() != nil {
			t.Fatal(err)
		}
	}
	body := `{"owner":"acme","name":"first","environment":"live","plan":"free","scopes":["hello:read"]}`
	r, err := browser.Post("http://"+host+"/settings/api-keys/v1/keys", "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	var made struct{ Token string }
	if err := json.NewDecoder(r.Body).Decode(&made); err != nil || r.StatusCode != http.StatusCreated {
		t.Fatalf("create a key: %s, error %v", r.Status, err)
	}
	return host, made.Token, hello
}

var (
	curl  = regexp.MustCompile(`^curl (-i|-so /dev/null) (\S+)(?: -H "([^:]+): ([^"]+)")?$`)
	again = regexp.MustCompile(`^for i in \{2\.\.60\}; do (.*); done$`)
)

// runCurl does what the command does, and returns what it prints.
func runCurl(t *testing.T, command string) string {
	t.Helper()
	if m := again.FindStringSubmatch(command); m != nil {
		for range 59 {
			runCurl(t, m[1])
		}
		return ""
	}
	m := curl.FindStringSubmatch(command)
	if m == nil {
		t.Fatalf("README.md: this test cannot run %q", command)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, m[2], nil)
	if err != nil {
		t.Fatal(err)
	}
	if m[3] != "" {
		r.Header.Set(m[3], m[4])
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	if m[1] != "-i" {
		return ""
	}
	var fields []string
	for name := range answer.Header {
		fields = append(fields, name+": "+answer.Header.Get(name))
	}
	slices.Sort(fields)
	return answer.Proto + " " + answer.Status + "\n" + strings.Join(fields, "\n") + "\n\n" + string(body)
}

var (
	someDate    = regexp.MustCompile(`(?m)^Date: .*`)
	someRequest = regexp.MustCompile(`"request_id":"[A-Z2-7]+"`)
	someNumber  = regexp.MustCompile(`\d+`)
	someSpace   = regexp.MustCompile(`\s*\n`) // a break within a line of JSON, where the page has one
)

// normal leaves of an answer what does not change from one run to the next. Line breaks and the order of header fields
// are the page's.
func normal(answer string) string {
	head, body, _ := strings.Cut(answer, "\n\n")
	lines := strings.Split(head, "\n")
	slices.Sort(lines)
	answer = someDate.ReplaceAllString(strings.Join(lines, "\n"), "Date:") + "\n\n" + someRequest.ReplaceAllString(body, `"request_id":"…"`)
	return strings.TrimSpace(someSpace.ReplaceAllString(someNumber.ReplaceAllString(answer, "0"), " "))
}
