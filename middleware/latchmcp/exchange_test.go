package latchmcp

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/latchkeytest"
	"github.com/wontopos/latchkey/middleware"
)

// TestALateRequestIsNotServed: the SDK may come to a request when its client has
// left. The response must not be touched any more, and the request is not decided
// again by itself.
func TestALateRequestIsNotServed(t *testing.T) {
	guard := latchkeytest.NewGuard(t, latchkeytest.Options{})
	server := mcp.NewServer(&mcp.Implementation{Name: "things"}, nil)
	var late *mcp.CallToolRequest
	mcp.AddTool(server, &mcp.Tool{Name: "read"}, func(_ context.Context, r *mcp.CallToolRequest, _ struct{}) (*mcp.CallToolResult, any, error) {
		late = r
		return &mcp.CallToolResult{}, nil, nil
	})
	h := New(guard, server, Options{
		Tools:     map[string]middleware.Route{"read": {Need: middleware.AnyKey()}},
		Transport: &mcp.StreamableHTTPOptions{Stateless: true},
	})
	r := latchkeytest.CreateKey(t, guard, latchkey.NewKey{}).Request(http.MethodPost, "/mcp",
		strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"read","arguments":{}}}`))
	r.Header.Set("Accept", "application/json, text/event-stream")
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if late == nil {
		t.Fatalf("the call got %d: %s", w.Code, w.Body)
	}
	_, err := h.receive(func(context.Context, string, mcp.Request) (mcp.Result, error) {
		t.Error("it was served")
		return nil, nil
	})(t.Context(), "tools/call", late)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("it got %v", err)
	}
}
