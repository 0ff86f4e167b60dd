package latchmcp_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/middleware"
	"github.com/wontopos/latchkey/middleware/latchmcp"
	"github.com/wontopos/latchkey/storage/memstore"
)

type thing struct {
	ID string `json:"id"`
}

func list(ctx context.Context, _ *mcp.CallToolRequest, _ struct{}) (*mcp.CallToolResult, any, error) {
	p, _ := middleware.PrincipalFrom(ctx)
	return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: "things of " + p.Owner()}}}, nil, nil
}

func remove(context.Context, *mcp.CallToolRequest, thing) (*mcp.CallToolResult, any, error) {
	return &mcp.CallToolResult{}, nil, nil
}

// A server whose tools need scopes, and a headless client that has a key for one
// of them.
func Example() {
	keys, err := latchkey.New(memstore.New(), latchkey.Options{})
	if err != nil {
		panic(err)
	}
	defer func() { _ = keys.Close(context.Background()) }()
	guard, err := middleware.New(keys, middleware.Options{})
	if err != nil {
		panic(err)
	}
	defer func() { _ = guard.Close(context.Background()) }()

	server := mcp.NewServer(&mcp.Implementation{Name: "things"}, nil)
	mcp.AddTool(server, &mcp.Tool{Name: "list_things"}, list)
	mcp.AddTool(server, &mcp.Tool{Name: "delete_thing"}, remove)
	endpoint := latchmcp.New(guard, server, latchmcp.Options{
		Tools: map[string]middleware.Route{
			"list_things":  {Need: middleware.AllOf("things:read")},
			"delete_thing": {Need: middleware.AllOf("things:write"), Cost: 10},
		},
		Resource: "https://api.example.com/mcp",
	})
	mux := http.NewServeMux()
	mux.Handle("/mcp", endpoint)
	mux.Handle(endpoint.Metadata())
	api := httptest.NewServer(mux)
	defer api.Close()

	_, token, err := keys.Create(context.Background(), apikey.Actor{ID: "setup"},
		latchkey.NewKey{Name: "nightly-agent", Owner: "acme", Scopes: []string{"things:read"}})
	if err != nil {
		panic(err)
	}
	client := mcp.NewClient(&mcp.Implementation{Name: "agent"}, nil)
	session, err := client.Connect(context.Background(), &mcp.StreamableClientTransport{
		Endpoint:   api.URL + "/mcp",
		HTTPClient: &http.Client{Transport: keyed{guard, token.Reveal()}}, // sets Authorization
	}, nil)
	if err != nil {
		panic(err)
	}
	defer func() { _ = session.Close() }()

	result, err := session.CallTool(context.Background(), &mcp.CallToolParams{Name: "list_things"})
	if err != nil {
		panic(err)
	}
	fmt.Println(result.Content[0].(*mcp.TextContent).Text)
	_, err = session.CallTool(context.Background(), &mcp.CallToolParams{Name: "delete_thing", Arguments: thing{"7"}})
	if refusal, ok := errors.AsType[*jsonrpc.Error](err); ok {
		fmt.Println(refusal.Code, refusal.Message)
	}
	// Output:
	// things of acme
	// 403 The key lacks the scope "things:write". Use a key that has it, or add it to this key.
}
