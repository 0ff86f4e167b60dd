package main

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

const list200 = "/v1/marketplace/apis"

// The calls of the documentation, in its three languages, against a first
// start.
func TestTheDocumentedCallsReturn200(t *testing.T) {
	in := start(t, t.TempDir())
	for tool, args := range map[string][]string{
		"curl": {"-sS", "-o", "/dev/null", "-w", "%{http_code}", in.live + list200, "-H", "Authorization: Bearer " + in.liveKey},
		"node": {"-e", `(async () => {
			const res = await fetch("` + in.live + list200 + `", {
				headers: {
					Authorization: "Bearer ` + in.liveKey + `",
				},
			});
			process.stdout.write(String(res.status));
		})()`},
		"python3": {"-c", `
import urllib.request
resp = urllib.request.urlopen(urllib.request.Request(
    "` + in.live + list200 + `",
    headers={"Authorization": "Bearer ` + in.liveKey + `"},
))
print(resp.status, end="")`},
	} {
		t.Run(tool, func(t *testing.T) {
			need(t, tool)
			out, err := exec.Command(tool, args...).CombinedOutput()
			if err != nil || string(out) != "200" {
				t.Errorf("%s: %v: %s", tool, err, out)
			}
		})
	}
}

// need skips a test for want of a program; .ci/components reads these lines.
func need(t *testing.T, tool string) {
	t.Helper()
	if _, err := exec.LookPath(tool); err != nil {
		t.Skip(map[string]string{
			"curl":    "missing component: curl: apt-get install curl",
			"node":    "missing component: node: apt-get install nodejs",
			"python3": "missing component: python3: apt-get install python3",
		}[tool])
	}
}

func TestEveryRefusalSaysWhatToDo(t *testing.T) {
	in := start(t, t.TempDir())
	for _, c := range []struct {
		rule         string
		got          answer
		status       int
		code, detail string
	}{
		{"the live key in the sandbox", get(t, in.test+list200, in.liveKey), 401, "environment_mismatch", in.live},
		{"the test key in production", get(t, in.live+list200, in.testKey), 401, "environment_mismatch", in.test},
		{"no key", get(t, in.live+list200, ""), 401, "missing_key", "Authorization"},
		{"a mistyped key", get(t, in.live+list200, mistyped(in.liveKey)), 401, "invalid_key", ""},
		{"a scope that the key lacks", send(t, "POST", in.live+list200, in.liveKey, "{}"), 403, "insufficient_scope", "marketplace:write"},
	} {
		if c.got.status != c.status || c.got.member("code") != c.code || !strings.Contains(c.got.member("detail"), c.detail) {
			t.Errorf("%s: %d %s, want %d %s naming %q", c.rule, c.got.status, c.got.body, c.status, c.code, c.detail)
		}
		if c.status == 401 && !strings.HasPrefix(c.got.header.Get("WWW-Authenticate"), "Bearer ") {
			t.Errorf("%s: WWW-Authenticate is %q", c.rule, c.got.header.Get("WWW-Authenticate"))
		}
		if strings.Contains(c.got.body, in.liveKey[25:]) {
			t.Errorf("%s: the body shows the key", c.rule)
		}
	}
	if got := get(t, in.test+list200, in.testKey); got.status != 200 || got.member("environment") != "test" {
		t.Errorf("the test key in the sandbox: %d %s", got.status, got.body)
	}
}

// mistyped swaps two characters that differ.
func mistyped(key string) string {
	b := []byte(key)
	for i := len(b) - 10; ; i-- {
		if b[i] != b[i-1] {
			b[i], b[i-1] = b[i-1], b[i]
			return string(b)
		}
	}
}

func TestThe61stRequestOfAMinuteIsRefused(t *testing.T) {
	in := start(t, t.TempDir())
	send(t, "POST", in.live+list200, in.liveKey, "{}") // refused requests are not charged
	for i := range 60 {
		if got := get(t, in.live+list200, in.liveKey); got.status != 200 {
			t.Fatalf("request %d: %d %s", i+1, got.status, got.body)
		}
	}
	got := get(t, in.live+list200, in.liveKey)
	after, err := strconv.Atoi(got.header.Get("Retry-After"))
	if got.status != 429 || got.member("code") != "rate_limited" || err != nil || after < 1 || after > 61 {
		t.Fatalf("the 61st: %d, Retry-After %q, %s", got.status, got.header.Get("Retry-After"), got.body)
	}
	if got := got.header.Get("RateLimit-Policy"); got != `"minute";q=60;w=60, "day";q=1000;w=86400` {
		t.Errorf("RateLimit-Policy: %s", got)
	}
	if got := got.header.Get("RateLimit"); !regexp.MustCompile(`^"minute";r=0;t=\d+, "day";r=940;t=\d+$`).MatchString(got) {
		t.Errorf("RateLimit: %s", got)
	}
}

// The same with a limit of its own that a test can wait for.
func TestWaitingAsLongAsRetryAfterSaysAdmits(t *testing.T) {
	in := start(t, t.TempDir())
	var k issued
	if err := in.rest("POST", "keys", map[string]any{
		"name": "patient", "owner": "you", "scopes": []string{"marketplace:read"},
		"limits": []any{map[string]any{"name": "burst", "n": 3, "window": 2}},
	}, &k); err != nil {
		t.Fatal(err)
	}
	var got answer
	for range 4 {
		got = get(t, in.live+list200, k.Token)
	}
	after, err := strconv.Atoi(got.header.Get("Retry-After"))
	if got.status != 429 || err != nil {
		t.Fatalf("the fourth of three: %d %s", got.status, got.body)
	}
	time.Sleep(time.Duration(after) * time.Second) // the promise under test is one about time
	if got := get(t, in.live+list200, k.Token); got.status != 200 {
		t.Errorf("after waiting %d s: %d %s", after, got.status, got.body)
	}
}

func TestRevokingEndsAStreamThatIsBeingRead(t *testing.T) {
	need(t, "curl")
	in := start(t, t.TempDir())
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	curl := exec.CommandContext(ctx, "curl", "-sSN", in.live+"/v1/marketplace/events", "-H", "Authorization: Bearer "+in.liveKey)
	var stderr bytes.Buffer
	curl.Stderr = &stderr
	stream, err := curl.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := curl.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Read(make([]byte, 1)); err != nil {
		t.Fatalf("the stream does not start: %v %s", err, &stderr)
	}
	begun := time.Now()
	if err := in.rest("POST", "keys/"+id(in.liveKey)+"/revoke", map[string]any{"reason": "test"}, nil); err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = stream.Read(make([]byte, 4096))
	}
	ended := curl.Wait()
	took := time.Since(begun)
	t.Logf("curl ended %v after the revocation was asked for: %v: %s", took, ended, strings.TrimSpace(stderr.String()))
	if ended == nil {
		t.Error("curl ended without an error: a cut stream looks complete")
	}
	if took > 2*time.Second { // 100 ms on a machine that is not busy with other tests
		t.Errorf("the stream went on for %v", took)
	}
	if got := get(t, in.live+list200, in.liveKey); got.status != 401 || got.member("code") != "revoked_key" {
		t.Errorf("the next request: %d %s", got.status, got.body)
	}
}

func TestARestartKeepsKeysRevocationsAndCounts(t *testing.T) {
	db := t.TempDir()
	in := start(t, db)
	for range 5 {
		get(t, in.live+list200, in.liveKey)
	}
	get(t, in.test+list200, in.testKey)
	if err := in.rest("POST", "keys/"+id(in.testKey)+"/revoke", map[string]any{"reason": "test"}, nil); err != nil {
		t.Fatal(err)
	}
	q, err := http.NewRequestWithContext(t.Context(), http.MethodGet, in.live+"/v1/marketplace/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	q.Header.Set("Authorization", "Bearer "+in.liveKey)
	stream, err := http.DefaultClient.Do(q) // does not keep the program
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Body.Close()
	in.stop(t)

	again := start(t, db)
	if text := again.output.String(); !strings.Contains(text, "cannot be shown again") || strings.Contains(text, in.liveKey[25:]) {
		t.Errorf("the second start says:\n%s", text)
	}
	got := get(t, again.live+list200, in.liveKey)
	if left := got.header.Get("RateLimit"); got.status != 200 || !strings.Contains(left, `"day";r=993`) || !strings.Contains(left, `"minute";r=53`) {
		t.Errorf("after a restart: %d, RateLimit %s, want 993 left of the day and 53 of the minute", got.status, left)
	}
	if got := get(t, again.test+list200, in.testKey); got.status != 401 || got.member("code") != "revoked_key" {
		t.Errorf("a revoked key after a restart: %d %s", got.status, got.body)
	}
	var usage struct {
		Secrets []struct {
			Counts map[string]uint64 `json:"counts"`
		} `json:"secrets"`
	}
	if err := again.rest("GET", "keys/"+id(in.liveKey)+"/usage", nil, &usage); err != nil || len(usage.Secrets) != 1 || usage.Secrets[0].Counts["allowed"] != 7 {
		t.Errorf("usage after a restart: %+v, %v, want 7 allowed", usage, err)
	}
}

func TestABusyPortMovesToTheNextFreeOnes(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:18080")
	if err == nil {
		defer l.Close()
	} // else another test's program holds it: as good
	in := start(t, t.TempDir())
	if strings.HasSuffix(in.live, ":18080") || in.live == in.test {
		t.Errorf("production is %s, sandbox %s", in.live, in.test)
	}
	if got := get(t, in.live+list200, in.liveKey); got.status != 200 {
		t.Errorf("on another port: %d %s", got.status, got.body)
	}
}

func TestASecondProcessOnTheSameDatabaseIsToldWhy(t *testing.T) {
	db := filepath.Join(t.TempDir(), "db")
	start(t, db)
	second := exec.Command(os.Args[0], "-db", db)
	second.Env = append(os.Environ(), asProgram+"=1")
	out, err := second.CombinedOutput()
	if err == nil || !strings.Contains(string(out), db) || !strings.Contains(string(out), "another process") {
		t.Errorf("second process: %v: %s", err, out)
	}
}

func TestHammerShowsTheLimit(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out := new(lockedBuffer)
	done := make(chan error, 1)
	go func() { done <- run(ctx, []string{"-port", "18480", "-hammer"}, out) }()
	for !strings.Contains(out.String(), "Retry-After says") {
		select {
		case err := <-done:
			t.Fatalf("the hammer ended: %v\n%s", err, out)
		case <-time.After(10 * time.Millisecond):
		}
	}
	if os.Getenv("LATCHKEY_LONG") == "" {
		cancel() // the wait is up to a minute
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	want := []string{"200 OK", "60 admitted, 5 refused with 429", "Retry-After: "}
	if os.Getenv("LATCHKEY_LONG") != "" {
		want = append(want, "and again: 200 OK")
	}
	for _, text := range want {
		if !strings.Contains(out.String(), text) {
			t.Errorf("the hammer does not say %q:\n%s", text, out)
		}
	}
}
