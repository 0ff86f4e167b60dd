package main

import (
	"context"
	"fmt"
	"io"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
)

var program = apikey.Actor{ID: "quickstart"}

// welcome prints what to try. On the first start it makes a key for each
// environment; later it cannot show them again, because nobody can.
func welcome(ctx context.Context, keys *latchkey.Service, live, test listener, link string, out io.Writer) error {
	fmt.Fprintf(out, "production %s\nsandbox    %s\nsettings   %s   (opens once, on this machine)\n\n", live.url(), test.url(), link)
	page, err := keys.List(ctx, latchkey.ListRequest{})
	if err != nil {
		return err
	}
	if len(page.Keys) > 0 {
		fmt.Fprintf(out, `The database holds keys from an earlier start, such as %q. Their secrets were shown once
and are stored as digests only, so they cannot be shown again: use the keys you kept, or make a new one
on the settings page. To begin anew, stop and delete the database.

  curl -i %s/v1/marketplace/apis -H "Authorization: Bearer $KEY"
`, page.Keys[0].Name, live.url())
		return nil
	}
	var tokens []string
	for _, env := range []string{"live", "test"} {
		_, token, err := keys.Create(ctx, program, latchkey.NewKey{
			Name: "quickstart-" + env, Owner: "you", Environment: env, Scopes: []string{"marketplace:read"},
		})
		if err != nil {
			return err
		}
		tokens = append(tokens, token.Reveal())
	}
	fmt.Fprintf(out, `Your keys, shown this once (plan free: 60 requests a minute, 1,000 a day; scope marketplace:read):

  KEY=%[1]s        # production
  TEST_KEY=%[2]s   # sandbox

Copy these two lines into a terminal, and try:

  curl -i %[3]s/v1/marketplace/apis -H "Authorization: Bearer $KEY"        # 200
  curl -i %[4]s/v1/marketplace/apis -H "Authorization: Bearer $TEST_KEY"   # 200, with sandbox data
  curl -i %[4]s/v1/marketplace/apis -H "Authorization: Bearer $KEY"        # 401 environment_mismatch
  curl -i %[3]s/v1/marketplace/apis                                        # 401 missing_key
  curl -i -d '{}' %[3]s/v1/marketplace/apis -H "Authorization: Bearer $KEY"  # 403 insufficient_scope
  curl -N %[3]s/v1/marketplace/events -H "Authorization: Bearer $KEY"      # revoke the key meanwhile

The limit at work: go run ./examples/quickstart -hammer
`, tokens[0], tokens[1], live.url(), test.url())
	return nil
}
