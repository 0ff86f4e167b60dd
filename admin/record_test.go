package admin_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/wontopos/latchkey/admin"
)

// recordTo names a folder that gets every exchange of these tests, and the table
// of routes, for the module tools/openapi to hold against openapi.yaml.
var recordTo = os.Getenv("LATCHKEY_RECORD_EXCHANGES")

// recorded is one exchange; a line of exchanges.jsonl.
type recorded struct {
	Method, Path  string // from the mount point, with the query
	RequestHeader http.Header
	RequestBody   string
	Status        int
	Header        http.Header
	Body          string
}

var exchanges struct {
	sync.Mutex
	file *os.File
}

// record writes an exchange of the API down.
func record(r *http.Request, body string, a answer) {
	path := strings.TrimPrefix(r.URL.RequestURI(), "/settings/keys")
	if recordTo == "" || !strings.HasPrefix(path, "/v1/") {
		return
	}
	line, err := json.Marshal(recorded{r.Method, path, r.Header, body, a.status, a.header, a.body})
	if err != nil {
		panic(err)
	}
	exchanges.Lock()
	defer exchanges.Unlock()
	if _, err := fmt.Fprintf(exchanges.file, "%s\n", line); err != nil {
		panic(err)
	}
}

func TestMain(m *testing.M) {
	if recordTo != "" {
		table, err := json.Marshal(admin.Routes())
		if err == nil {
			err = os.WriteFile(filepath.Join(recordTo, "routes.json"), table, 0o600)
		}
		if err == nil {
			exchanges.file, err = os.Create(filepath.Join(recordTo, "exchanges.jsonl"))
		}
		if err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}
