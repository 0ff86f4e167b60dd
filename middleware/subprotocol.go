package middleware

import (
	"net/http"
	"strings"

	"github.com/wontopos/latchkey/apikey"
)

// Subprotocol takes the key from one of the protocols that a WebSocket client
// offers in Sec-WebSocket-Protocol, after a prefix such as "key.": a script in a
// browser can set no other field of its own,
//
//	new WebSocket(url, ["chat", "key." + key])
//
// The server must choose another one, such as "chat": what it chooses is sent back.
func Subprotocol(prefix string) Extractor {
	return in(inSocket, prefix, func(f Fields, _, prefix string) (string, apikey.Code) {
		return offered(f.Values(socketField), prefix)
	})
}

const socketField = "Sec-Websocket-Protocol"

// offered reads the subprotocol with the prefix.
func offered(lines []string, prefix string) (string, apikey.Code) {
	token, code := "", apikey.MissingKey
	for _, line := range lines {
		for word := range strings.SplitSeq(line, ",") {
			rest, ok := strings.CutPrefix(strings.Trim(word, " \t"), prefix)
			switch {
			case !ok || rest == "":
			case code == apikey.OK:
				return "", apikey.MalformedRequest
			default:
				token, code = rest, apikey.OK
			}
		}
	}
	return token, code
}

// stripOffered takes the subprotocol with the prefix out of a header.
func stripOffered(h http.Header, prefix string) {
	var words []string
	for _, line := range h[socketField] {
		for word := range strings.SplitSeq(line, ",") {
			if word = strings.Trim(word, " \t"); word != "" && !strings.HasPrefix(word, prefix) {
				words = append(words, word)
			}
		}
	}
	if delete(h, socketField); len(words) > 0 {
		h[socketField] = []string{strings.Join(words, ", ")}
	}
}

func setOffered(h http.Header, prefix, token string) {
	stripOffered(h, prefix)
	h[socketField] = []string{strings.Join(append(h[socketField], prefix+token), ", ")}
}
