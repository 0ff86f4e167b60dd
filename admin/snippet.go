package admin

import (
	"strconv"
	"strings"

	"github.com/wontopos/latchkey/apikey"
)

// snippet is a first request, ready to paste.
type snippet struct{ Language, Code string }

// snippets show a token at work in the environment's own world. The address
// comes from the operator's options and the token has only letters, digits and
// underscores, so that quoting is enough in every language.
func (h *Handler) snippets(env apikey.Environment, token string) []snippet {
	base := env.BaseURL
	if base == "" {
		base = "https://api.example.com"
	}
	address := base + h.o.ExamplePath
	quoted := strconv.Quote(address)
	return []snippet{
		{"cURL", "curl '" + strings.ReplaceAll(address, "'", "%27") + "' \\\n  -H 'Authorization: Bearer " + token + "'"},
		{"JavaScript", "const res = await fetch(" + quoted + ", {\n  headers: {\n    Authorization: \"Bearer " + token + "\",\n  },\n});"},
		{"Python", "import requests\n\nresp = requests.get(\n    " + quoted + ",\n    headers={\"Authorization\": \"Bearer " + token + "\"},\n)"},
	}
}
