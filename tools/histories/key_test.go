package histories

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/wontopos/latchkey/apikey"
)

// version is a state of a key, as far as its callers can tell one from another.
// The zero version is that of a key which does not exist.
type version struct {
	revision          uint64
	disabled, revoked bool
	current, previous uint32 // numbers of its secrets; 0 is none
	ended             bool   // the previous one
	scopes            string
}

// versionOf reads a key as the service returned it.
func versionOf(k *apikey.Key) version {
	v := version{
		revision: k.Revision, disabled: !k.DisabledAt.IsZero(), revoked: !k.RevokedAt.IsZero(),
		current: k.Secrets[0].Number, scopes: strings.Join(k.Scopes, " "),
	}
	if len(k.Secrets) == 2 {
		v.previous, v.ended = k.Secrets[1].Number, !k.Secrets[1].LiveAt(time.Now())
	}
	return v
}

func (v version) exists() bool   { return v.current != 0 }
func (v version) rotating() bool { return v.previous != 0 && !v.ended }

// same compares all but the revisions: the service also changes what is not
// modelled, such as when a secret was first used.
func (v version) same(w version) bool {
	v.revision = w.revision
	return v == w
}

// kind is what a client does.
type kind uint8

const (
	create kind = iota
	disable
	enable
	revoke
	rotate
	finish
	cancel
	update
	get
	verify
	inForce // no call: from now on every view has come to a revision
)

var kinds = [...]string{"create", "disable", "enable", "revoke", "rotate", "finish", "cancel", "update", "get", "verify", "in force"}

// input is a call.
type input struct {
	kind     kind
	key      string
	on       int    // the instance; -1 is another process
	secret   uint32 // verify: number of the secret in the token
	at1      bool   // rotate: end the old secret at once
	scopes   string // create and update
	revision uint64 // inForce
}

// output is how it returned.
type output struct {
	code   apikey.Code
	lost   bool    // a change of which nobody knows whether it is written
	after  version // of a change or a get that succeeded
	secret uint32  // of a verify that found whose token it is
	scopes string  // likewise
}

// changed is what a change makes of a key, and how it is answered: the whole
// specification of the state machine.
func (v version) changed(in input) (version, apikey.Code) {
	if in.kind == create {
		if v.exists() {
			return v, apikey.Conflict
		}
		return version{current: 1, scopes: in.scopes}, apikey.OK
	}
	switch {
	case !v.exists():
		return v, apikey.NotFound
	case in.kind == revoke:
		v.revoked = true
		return v, apikey.OK
	case v.revoked:
		return v, apikey.InvalidState
	}
	switch in.kind {
	case disable:
		v.disabled = true
	case enable:
		v.disabled = false
	case update:
		v.scopes = in.scopes
	case rotate:
		if v.rotating() {
			return v, apikey.InvalidState
		}
		v.current, v.previous, v.ended = max(v.current, v.previous)+1, v.current, in.at1
	case finish, cancel:
		if !v.rotating() {
			return v, apikey.InvalidState
		}
		if in.kind == cancel {
			v.current, v.previous = v.previous, v.current
		}
		v.ended = true
	}
	return v, apikey.OK
}

// verdict is what Verify has to say of a token.
func (v version) verdict(secret uint32) apikey.Code {
	switch {
	case !v.exists() || secret != v.current && secret != v.previous:
		return apikey.InvalidKey
	case v.revoked:
		return apikey.RevokedKey
	case v.disabled:
		return apikey.DisabledKey
	case secret == v.previous && v.ended:
		return apikey.ExpiredKey
	}
	return apikey.OK
}

func (v version) String() string {
	if !v.exists() {
		return "none"
	}
	s := fmt.Sprintf("#%d %q secrets %d", v.revision, v.scopes, v.current)
	if v.previous != 0 {
		s += fmt.Sprintf(",%d", v.previous)
	}
	for _, mark := range []struct {
		text string
		on   bool
	}{{" (ended)", v.ended}, {" disabled", v.disabled}, {" revoked", v.revoked}} {
		if mark.on {
			s += mark.text
		}
	}
	return s
}

func (in input) String() string {
	s := fmt.Sprintf("%s@%d", kinds[in.kind], in.on)
	if in.on < 0 {
		s = kinds[in.kind] + " elsewhere"
	}
	switch in.kind {
	case verify:
		s += fmt.Sprintf(" secret %d", in.secret)
	case create, update:
		s += fmt.Sprintf(" %q", in.scopes)
	case rotate:
		if in.at1 {
			s += " at once"
		}
	case inForce:
		return fmt.Sprintf("in force: #%d", in.revision)
	}
	return s
}

func describe(in input, out output) string {
	s := in.String()
	switch {
	case in.kind == inForce:
		return s
	case out.lost:
		return s + " -> lost"
	case in.kind == verify && out.secret != 0:
		return fmt.Sprintf("%s -> %v %q", s, out.code, out.scopes)
	case out.code != apikey.OK:
		return s + " -> " + out.code.String()
	}
	return s + " -> " + out.after.String()
}

// maxViews bounds the instances of a model.
const maxViews = 2

// state is what the model knows of one key.
type state struct {
	versions []version // from the oldest that a view may have to the store's, never empty
	head     uint64    // the highest revision known
	seen     [maxViews]uint64
}

func begin() state { return state{versions: []version{{}}} }

func (s state) now() version { return s.versions[len(s.versions)-1] }

// view is the index of the version that a view has come to.
func (s state) view(i int) int {
	n := len(s.versions) - 1
	for n > 0 && s.versions[n].revision > s.seen[i] {
		n--
	}
	return n
}

// step says whether a key in this state may answer a call so, and which state
// it is in then. With no views the key is one atomic object.
func (s state) step(views int, in input, out output) (state, bool) {
	switch {
	case in.kind == inForce:
		if s.head < in.revision {
			return s, false
		}
		for i := range views {
			s.seen[i] = max(s.seen[i], in.revision)
		}
		return s.trim(views), true
	case in.kind == verify:
		return s.verify(views, in, out)
	case out.lost:
		after, code := s.now().changed(in)
		if code != apikey.OK || after == s.now() {
			return s, true
		}
		return s.push(views, after, s.head+1), true
	case out.code == apikey.Unavailable: // a get
		return s, true
	case in.kind == get:
		if out.code == apikey.NotFound {
			return s, !s.now().exists()
		}
		ok := out.code == apikey.OK && out.after.same(s.now()) && out.after.revision >= s.head
		s.head = out.after.revision
		return s, ok
	}
	after, code := s.now().changed(in)
	switch {
	case out.code != code:
		return s, false
	case code != apikey.OK:
		return s, true
	case !out.after.same(after):
		return s, false
	case after == s.now(): // nothing to do
		ok := out.after.revision >= s.head
		s.head = out.after.revision
		return s, ok
	}
	return s.push(views, after, out.after.revision), out.after.revision > s.head
}

// push adds what the store has now.
func (s state) push(views int, v version, revision uint64) state {
	v.revision, s.head = revision, revision
	s.versions = append(slices.Clone(s.versions), v)
	return s.trim(views)
}

// trim forgets versions that all views have left behind.
func (s state) trim(views int) state {
	oldest := len(s.versions) - 1
	for i := range views {
		oldest = min(oldest, s.view(i))
	}
	s.versions = s.versions[oldest:]
	return s
}

// verify looks for a version, from the one that the view has come to on, by
// which the answer is right. The first will do: whoever has seen less may see
// more later.
func (s state) verify(views int, in input, out output) (state, bool) {
	if out.code == apikey.Unavailable {
		return s, true
	}
	at := len(s.versions) - 1
	if views > 0 {
		at = s.view(in.on)
	}
	for _, v := range s.versions[at:] {
		if v.verdict(in.secret) != out.code || out.code != apikey.InvalidKey && (out.secret != in.secret || out.scopes != v.scopes) {
			continue
		}
		if views > 0 {
			s.seen[in.on] = max(s.seen[in.on], v.revision)
		}
		return s.trim(views), true
	}
	return s, false
}

func (s state) String() string {
	var b strings.Builder
	for i, v := range s.versions {
		if i > 0 {
			b.WriteString(" | ")
		}
		b.WriteString(v.String())
	}
	fmt.Fprintf(&b, "; head #%d, seen %v", s.head, s.seen)
	return b.String()
}
