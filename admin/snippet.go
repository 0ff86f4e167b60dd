package admin

import (
	"strconv"
	"strings"

	"github.com/wontopos/latchkey/apikey"
)

// snippet is a key in a form ready to paste: the token goes between Before and
// After.
type snippet struct{ Language, Before, After string }

// snippets show a token in use, in its environment. The address comes from the
// operator's options and a token has only letters, digits and underscores, so
// quoting is safe in every language.
func (h *Handler) snippets(env apikey.Environment) []snippet {
	base := env.BaseURL
	if base == "" {
		base = "https://api.example.com"
	}
	address := base + h.o.ExamplePath
	quoted := strconv.Quote(address)
	return []snippet{
		{".env", "API_KEY=", "\nAPI_BASE_URL=" + base + "\n"},
		{"cURL", "curl '" + strings.ReplaceAll(address, "'", "%27") + "' \\\n  -H 'Authorization: Bearer ", "'"},
		{"JavaScript", "const res = await fetch(" + quoted + ", {\n  headers: {\n    Authorization: \"Bearer ", "\",\n  },\n});"},
		{"Python", "import requests\n\nresp = requests.get(\n    " + quoted + ",\n    headers={\"Authorization\": \"Bearer ", "\"},\n)"},
		{"Go", "req, err := http.NewRequest(http.MethodGet, " + quoted + ", nil)\nif err != nil {\n\treturn err\n}\nreq.Header.Set(\"Authorization\", \"Bearer ", "\")\nres, err := http.DefaultClient.Do(req)"},
	}
}
