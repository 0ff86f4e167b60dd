package tree_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// door is a module with good tests, one test that guards nothing, and code of every form that a row can name.
var door = map[string]string{
	"go.mod": "module example.com/door\n\ngo 1.26\n",
	"lock/lock.go": `package lock
import "errors"
type door[K comparable] struct{ tries map[K]int }
var most = 3
func Open(secret string) bool {
	if secret == "" { return false }
	return len(secret) > 3
}
func (d *door[K]) try(who K, more ...string) (ok bool) {
	ok = func() bool {
		return d.tries[who] <
			most // times
	}()
	d.tries[who]++
	return
}
func check(text string) error {
	if err := errors.New(text); text == "" || len(text) > 9 { return err }
	return nil
}
func must(f func()) (panicked bool) {
	defer func() { if recover() != nil { panicked = true } }()
	f()
	return false
}
`,
	"lock/bolt/bolt.go": "package bolt\nfunc init() { Shut = true }\nvar Shut bool\nconst Query = `SELECT a\n\tFROM b WHERE c`\n",
	"lock/rules/1.sql":  "id  int\n\tNOT NULL",
	"lock/lock_test.go": `package lock
import ("embed"; "strings"; "testing"; "example.com/door/lock/bolt")
//go:embed rules
var rules embed.FS
func TestOpen(t *testing.T) {
	t.Run("a short one", func(t *testing.T) { if Open("abc") { t.Error() } })
	if Open("") { t.Error() }
}
func TestDoor(t *testing.T) {
	d := door[string]{map[string]int{}}
	if !d.try("ann", "x") || !d.try("ann") || !d.try("ann") || d.try("ann") { t.Error() }
	if check("") == nil || check("0123456789") == nil || check("a") != nil { t.Error() }
	if !must(func() { panic(1) }) { t.Error() }
	if text, _ := rules.ReadFile("rules/1.sql"); !strings.Contains(string(text), "NOT NULL") { t.Error() }
	if !bolt.Shut || !strings.Contains(bolt.Query, "WHERE c") { t.Error() }
}
func TestNothing(t *testing.T) { Open("") }
func TestWrong(t *testing.T) { t.Error() }
func TestAbsent(t *testing.T) { t.Skip("missing component: door: buy one") }
`,
}

// TestDefencesMechanism tries the prover on the ways in which a row can be right or wrong.
func TestDefencesMechanism(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	for name, text := range door {
		write(t, filepath.Join(root, name), text)
	}
	cases := []struct {
		row  string // without its rule
		want error
		says string
	}{
		{"Open | true len(secret) > 3 | TestOpen/a short", nil, ""},
		{"Open | len(secret) > 3 -> secret[9] > 3 | TestOpen", nil, ""}, // a panic is noticed, too
		{"door.try | drop d.tries[who]++ | TestDoor", nil, ""},
		{"door.try | not < most | TestDoor", nil, ""}, // by a part, in a literal
		{"door.try | true d.tries[who]<most | TestDoor", nil, ""},
		{"most | 3 -> 4 | TestDoor", nil, ""},
		{"check | false len(text) | TestDoor", nil, ""},
		{"check | drop len .. return | TestDoor", nil, ""},
		{"must | drop panicked = true | TestDoor", nil, ""}, // which no copy of the function could show
		{"rules/*.sql | id int NOT NULL -> id int | TestDoor", nil, ""},
		{"init | drop Shut | ./lock TestDoor", nil, ""},
		{"Query | `FROM b WHERE c` -> `FROM b` | ./lock TestDoor", nil, ""},
		{"Open | true len(secret) > 3 | TestNothing", errUncaught, ""},
		{"must | true recover() != nil | TestOpen", errUncaught, ""},
		{"Open | len(secret) > 3 -> secret > 3 | TestOpen", errBroken, ""},
		{"Open | len(secret) > 3 -> len( | TestOpen", errBroken, ""},
		{"Open | drop return len(secret) > 3 | TestOpen", errBroken, ""},
		{"Open | true secret == nil | TestOpen", errStale, "name what now keeps the rule"},
		{"Open | true secret | TestOpen", errStale, "name more of the statement"},
		{"Open | true len(text) > 9 | TestOpen", errStale, "but check does"},
		{"Shut | true nowhere | TestOpen", errStale, "there is no Shut"},
		{"Open | true return false | TestOpen", errStale, "finds nothing to work on"},
		{"Open | len(secret) > 3 -> len(secret) > 3 | TestOpen", errStale, "changes nothing"},
		{"Open | true len(secret) > 3 | TestShut", errStale, "has no test"},
		{"Open | true len(secret) > 3 | TestOpen/long", errBaseline, "ran nothing"},
		{"Open | true len(secret) > 3 | TestWrong", errBaseline, ""},
		{"Open | true len(secret) > 3 | TestAbsent", errMissing("missing component: door: buy one"), ""},
	}
	rows := make([]defence, len(cases))
	for i, tc := range cases {
		dir := "lock"
		if strings.Contains(tc.row, "./lock") {
			dir = "lock/bolt"
		}
		var err error
		if rows[i], err = parseDefence(dir, fmt.Sprintf("row %d | %s", i, tc.row)); err != nil {
			t.Fatalf("%s: %v", tc.row, err)
		}
	}
	p := newProver(root, t.TempDir(), rows...)
	for i, tc := range cases {
		t.Run(tc.row, func(t *testing.T) {
			if err := p.try(t.Context(), rows[i]); !errors.Is(err, tc.want) || err != nil && !strings.Contains(err.Error(), tc.says) {
				t.Errorf("got %v, want %v, %q", err, tc.want, tc.says)
			}
		})
	}
	if all := once(p, p.suites, "all lock", nil); all.err != nil || len(all.mutants) < 10 {
		t.Errorf("the mutants of a package are built together: got %d of them, %v", len(all.mutants), all.err)
	}
}

// TestDefencesAreRead holds what a table may say.
func TestDefencesAreRead(t *testing.T) {
	t.Parallel()
	for row, want := range map[string]string{
		"rule | f | drop x":                                    "want: rule",
		"rule | f | lose x | TestX":                            "a mutation is",
		"rule | f | drop x | TestX\nrule | g | drop y | TestX": "an earlier row",
	} {
		dir := t.TempDir()
		write(t, filepath.Join(dir, "a/b.txt"), "# a comment\n\n"+row+"\n")
		if _, err := readDefences(dir); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", row, err, want)
		}
	}
	d, err := parseDefence("a/b", "a rule | cache.flush | a | b -> c | ./d TestX/an inner one/x")
	want := defence{"a/b: a rule", "a/b", "cache.flush", "->", "a | b", "c", "d", "^(TestX)$/^an_inner_one/^x"}
	if err != nil || d != want {
		t.Errorf("got %+v, %v, want %+v", d, err, want)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
		t.Fatal(err)
	}
}
