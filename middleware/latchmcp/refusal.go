package latchmcp

import (
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/middleware"
)

// answer is where an inner door writes its refusal. The door takes it for the
// HTTP response, to which Unwrap leads, but the SDK answers in its place.
type answer struct {
	w      http.ResponseWriter
	header http.Header
	status int
	body   []byte
}

func (a *answer) Header() http.Header         { return a.header }
func (a *answer) WriteHeader(status int)      { a.status = status }
func (a *answer) Unwrap() http.ResponseWriter { return a.w }

func (a *answer) Write(p []byte) (int, error) {
	a.body = append(a.body, p...)
	return len(p), nil
}

// refusal is the answer as an error of JSON-RPC. Its data are the problem
// document, unless an ErrorHandler wrote something else.
func (a *answer) refusal(code apikey.Code) error {
	var problem map[string]any
	_ = json.Unmarshal(a.body, &problem)
	if problem == nil {
		problem = map[string]any{"code": code.Info().Name}
	}
	if s, err := strconv.Atoi(a.header.Get("Retry-After")); err == nil {
		problem["retry_after"] = s
	}
	detail, ok := problem["detail"].(string)
	if !ok {
		detail = code.Info().Title
	}
	return problemError(code.Info().Status, detail, problem)
}

// refusalOf is a refusal without a door.
func refusalOf(o *middleware.Outcome) error {
	a := answer{body: o.AppendProblem(nil, "")}
	return a.refusal(o.Code())
}

func refuse(status int, code, detail string) error {
	return problemError(status, detail, map[string]any{"status": status, "detail": detail, "code": code})
}

func problemError(status int, detail string, problem map[string]any) error {
	data, err := json.Marshal(problem)
	if err != nil { // it was decoded from JSON
		data = nil
	}
	return &jsonrpc.Error{Code: int64(status), Message: detail, Data: data}
}
