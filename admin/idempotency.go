package admin

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
)

// A client that sends Idempotency-Key with a creation may repeat it, after a
// timeout or a crash of either side, and never makes a second key
// (draft-ietf-httpapi-idempotency-key-header-06, section 2.6). It gets
//
//   - 409 already_created with the key's id and Location, if the key exists. It
//     never gets the secret: rotate the key if the first answer was lost;
//   - 422 idempotency_key_reused, if the Idempotency-Key belongs to another
//     body (section 2.7).
//
// The claim and the key are one write of the store ([latchkey.NewKey.Once]), so
// there is no moment in between at which a second request would have to be told
// to wait. The claim is kept as long as the key is on record: until a purge, at
// least a day after the revocation (section 2.3).

// Bounds of an Idempotency-Key, in characters. A short one could be guessed,
// and is likely to be a counter that restarts with its client.
const (
	minIdempotencyKey = 16
	maxIdempotencyKey = 128
)

// onceName names a creation to the service: by its actor, so that nobody meets
// another's names, and by kind, what the name identifies.
func (a *Actor) onceName(kind, name string) string {
	return fmt.Sprintf("admin %s %d %q %q %q", kind, a.Role, a.Owner, a.ID, name)
}

// once returns the name of the creation that the request asks for, or "" if it
// has none.
func (c *call) once() (string, error) {
	lines := c.r.Header.Values("Idempotency-Key")
	if len(lines) == 0 {
		return "", nil
	}
	key, ok := parseIdempotencyKey(lines)
	if !ok || c.h.shape.in(key) {
		return "", invalidFields([]fieldError{{
			Parameter: "Idempotency-Key",
			Detail:    fmt.Sprintf("must stand once, and have %d to %d characters that cannot be guessed, like a UUID in quotes", minIdempotencyKey, maxIdempotencyKey),
		}})
	}
	return c.actor.onceName("request", key), nil
}

// parseIdempotencyKey reads a string of RFC 9651 (section 3.3.3), which the
// draft requires, or the same without quotes, which many clients send. Both
// spellings of a key are one key.
func parseIdempotencyKey(lines []string) (key string, ok bool) {
	if len(lines) != 1 {
		return "", false
	}
	text := strings.Trim(lines[0], " \t")
	inner, quoted := strings.CutPrefix(text, `"`)
	if quoted {
		if inner, ok = strings.CutSuffix(inner, `"`); !ok {
			return "", false
		}
	}
	for i := range len(inner) {
		switch c := inner[i]; {
		case c <= ' ' || c >= 0x7f, c == '"' || c == '\\' || c == ',' || c == ';':
			return "", false // a comma may join two lines; no key needs the others
		}
	}
	return inner, len(inner) >= minIdempotencyKey && len(inner) <= maxIdempotencyKey
}

// alreadyCreated answers a replay.
func alreadyCreated(k *apikey.Key) error {
	return &failure{
		info: apikey.AlreadyCreated.Info(), keyID: k.ID,
		header: http.Header{"Location": {"keys/" + k.ID}},
		detail: "this Idempotency-Key has made the key " + k.ID + " already. Its secret was in the first answer and is not shown again: if that was lost, rotate the key",
	}
}

var errIdempotencyKeyReused = &failure{
	info:   apikey.OnceReused.Info(),
	detail: "this Idempotency-Key was sent before with another body: take a new one for another key, or repeat the request as it was",
	fields: []fieldError{{Parameter: "Idempotency-Key", Detail: "stands for another request"}},
}

// The form of a new key has such a name, too, in a hidden field: a reload, Back
// or a double click makes no second key, on any instance. The name needs no
// proof of who issued it. For whoever sends it, it identifies a key of their
// own, which they may create anyway; it never matches what others sent
// ([Actor.onceName]), and pages of other origins cannot send anything here.
//
// The name begins with the time at which the form was made. The dates on the
// form count from there, so that a repeated form asks for the same key. It also
// shows how old the form is: one that outlived a purge of its key would make
// another key.

const (
	formTime = "20060102T150405Z"
	formLife = latchkey.MinPurgeAge - 4*time.Hour // for clocks that differ
)

// formLetters are the letters of [rand.Text].
const formLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"

// newForm makes the name of a form.
func newForm(now time.Time) string { return now.UTC().Format(formTime) + rand.Text() }

// formMade returns the time at which a form was made. ok is false for a form
// that is too old, or for a name that no form has.
func formMade(name string, now time.Time) (made time.Time, ok bool) {
	if len(name) != len(newForm(now)) || strings.Trim(name[len(formTime):], formLetters) != "" {
		return time.Time{}, false
	}
	made, err := time.Parse(formTime, name[:len(formTime)])
	age := now.Sub(made)
	return made, err == nil && age < formLife && age > formLife-latchkey.MinPurgeAge
}
