//go:build generated

// Life runs the life of a key with a client that oapi-codegen made, which lies
// beside it while the test of the module above runs.
package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	_ "github.com/oapi-codegen/runtime" // of the client
)

func main() {
	if err := life(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("ok")
}

func ptr[T any](v T) *T { return &v }

func life(server string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c, err := NewClientWithResponses(server)
	if err != nil {
		return err
	}
	is := func(step string, r *http.Response, body []byte, err error, status int) error {
		if err != nil {
			return fmt.Errorf("%s: %w", step, err)
		}
		if r.StatusCode != status {
			return fmt.Errorf("%s: status %d, want %d: %s", step, r.StatusCode, status, body)
		}
		return nil
	}

	created, err := c.CreateKeyWithResponse(ctx, &CreateKeyParams{IdempotencyKey: ptr("go-client-0123456789")}, NewKey{
		Name: "go", Owner: ptr("acme"), Scopes: &Scopes{"orders:read"}, Networks: &Networks{"10.0.0.0/8"}, ExpiresAt: ptr(time.Now().Add(24 * time.Hour)),
		Limits: &[]NewLimit{{Name: "minute", N: 60, Window: ptr(Duration(60))}},
	})
	if err != nil {
		return err
	}
	if err := is("create", created.HTTPResponse, created.Body, err, 201); err != nil {
		return err
	}
	id := created.JSON201.Key.Id
	if !strings.Contains(created.JSON201.Token, id) {
		return fmt.Errorf("create: the token of %s is %d bytes long", id, len(created.JSON201.Token))
	}
	got, err := c.GetKeyWithResponse(ctx, id)
	if err != nil {
		return err
	}
	if err := is("get", got.HTTPResponse, got.Body, err, 200); err != nil {
		return err
	}
	if w := got.JSON200.Limits[0].Window; w == nil || *w != 60 {
		return fmt.Errorf("get: the limits are %v", got.JSON200.Limits)
	}
	list, err := c.ListKeysWithResponse(ctx, &ListKeysParams{Owner: ptr("acme"), Limit: ptr(10)})
	if err != nil {
		return err
	}
	if err := is("list", list.HTTPResponse, list.Body, err, 200); err != nil {
		return err
	}
	if len(list.JSON200.Keys) != 1 || list.JSON200.Keys[0].Id != id {
		return fmt.Errorf("list: %s", list.Body)
	}
	tag := got.HTTPResponse.Header.Get("ETag")
	updated, err := c.UpdateKeyWithResponse(ctx, id, &UpdateKeyParams{IfMatch: &tag}, KeyUpdate{Name: ptr("renamed")})
	if err != nil {
		return err
	}
	if err := is("update", updated.HTTPResponse, updated.Body, err, 200); err != nil {
		return err
	}
	stale, err := c.UpdateKeyWithResponse(ctx, id, &UpdateKeyParams{IfMatch: &tag}, KeyUpdate{Name: ptr("again")})
	if err != nil {
		return err
	}
	if err := is("update of an older revision", stale.HTTPResponse, stale.Body, err, 412); err != nil {
		return err
	}
	rotated, err := c.RotateKeyWithResponse(ctx, id, &RotateKeyParams{}, Rotate{Grace: ptr(3600)})
	if err != nil {
		return err
	}
	if err := is("rotate", rotated.HTTPResponse, rotated.Body, err, 200); err != nil {
		return err
	}
	finished, err := c.FinishRotationWithResponse(ctx, id, &FinishRotationParams{}, Finish{Force: ptr(true)})
	if err != nil {
		return err
	}
	if err := is("finish", finished.HTTPResponse, finished.Body, err, 200); err != nil {
		return err
	}
	disabled, err := c.DisableKeyWithResponse(ctx, id, &DisableKeyParams{}, Reason{Reason: ptr("maintenance")})
	if err != nil {
		return err
	}
	if err := is("disable", disabled.HTTPResponse, disabled.Body, err, 200); err != nil {
		return err
	}
	enabled, err := c.EnableKeyWithResponse(ctx, id, &EnableKeyParams{}, Empty{})
	if err != nil {
		return err
	}
	if err := is("enable", enabled.HTTPResponse, enabled.Body, err, 200); err != nil {
		return err
	}
	usage, err := c.GetUsageWithResponse(ctx, id, &GetUsageParams{})
	if err != nil {
		return err
	}
	if err := is("usage", usage.HTTPResponse, usage.Body, err, 200); err != nil {
		return err
	}
	audit, err := c.GetKeyAuditWithResponse(ctx, id, &GetKeyAuditParams{})
	if err != nil {
		return err
	}
	if err := is("audit", audit.HTTPResponse, audit.Body, err, 200); err != nil {
		return err
	}
	if len(audit.JSON200.Entries) != 6 {
		return fmt.Errorf("audit: %d entries, want 6", len(audit.JSON200.Entries))
	}
	revoked, err := c.DeleteKeyWithResponse(ctx, id, &DeleteKeyParams{})
	if err != nil {
		return err
	}
	if err := is("revoke", revoked.HTTPResponse, revoked.Body, err, 200); err != nil {
		return err
	}
	if revoked.JSON200.State != "revoked" {
		return fmt.Errorf("revoke: the key is %v", revoked.JSON200.State)
	}
	return nil
}
