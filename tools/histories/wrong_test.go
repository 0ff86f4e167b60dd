package histories

import (
	"slices"
	"testing"

	"github.com/anishathalye/porcupine"

	"github.com/wontopos/latchkey/apikey"
)

// script is a history of a key whose calls come one after the other.
type script struct {
	ops []porcupine.Operation
	at  int64
}

// add appends a call that begins after all others have returned.
func (s script) add(in input, out output) script {
	s.ops = append(s.ops[:len(s.ops):len(s.ops)], porcupine.Operation{Input: in, Call: s.at, Output: out, Return: s.at + 1})
	s.at += 2
	return s
}

// during appends a call that is under way from the beginning to now.
func (s script) during(in input, out output) script {
	o := porcupine.Operation{Input: in, Output: out, Return: s.at}
	if out.lost {
		o.Return = never
	}
	s.ops = append(s.ops[:len(s.ops):len(s.ops)], o)
	return s
}

// onOne is the same on one instance.
func (s script) onOne() script {
	s.ops = slices.Clone(s.ops)
	for i, o := range s.ops {
		in := o.Input.(input)
		in.on = 0
		s.ops[i].Input = in
	}
	return s
}

// changes appends a change that succeeds, and is in force when it returns.
func (s script) changes(k kind, after version) script {
	return s.add(input{kind: k, scopes: after.scopes}, output{after: after}).inForce(after.revision)
}

func (s script) inForce(revision uint64) script {
	return s.add(input{kind: inForce, revision: revision}, output{})
}

func (s script) gets(v version) script { return s.add(input{kind: get}, output{after: v}) }

func (s script) verifies(on int, secret uint32, code apikey.Code, scopes string) script {
	out := output{code: code, secret: secret, scopes: scopes}
	if code == apikey.InvalidKey {
		out.secret, out.scopes = 0, ""
	}
	return s.add(input{kind: verify, on: on, secret: secret}, out)
}

// A checker that accepts everything would pass. So each rule has a history that
// breaks it, beside one that is right.
func TestTheCheckerSeesWhatIsWrong(t *testing.T) {
	var (
		red      = version{revision: 1, current: 1, scopes: "red"}
		disabled = version{revision: 2, current: 1, scopes: "red", disabled: true}
		enabled  = version{revision: 3, current: 1, scopes: "red"}
		revoked  = version{revision: 2, current: 1, scopes: "red", revoked: true}
		green    = version{revision: 2, current: 1, scopes: "green"}
		rotated  = version{revision: 2, current: 2, previous: 1, scopes: "red"}
		replaced = version{revision: 2, current: 2, previous: 1, ended: true, scopes: "red"}
		finished = version{revision: 3, current: 2, previous: 1, ended: true, scopes: "red"}
		canceled = version{revision: 3, current: 1, previous: 2, ended: true, scopes: "red"}

		none    script
		created = none.changes(create, red)
	)
	const (
		one   = 1 << iota // an atomic object
		view              // a store with a view
		views             // a store with two views
		all   = one | view | views
	)
	for rule, c := range map[string]struct {
		right, wrong script
		models       int // that see it
	}{
		"a revoked key is refused": {
			created.changes(revoke, revoked).verifies(0, 1, apikey.RevokedKey, "red"),
			created.changes(revoke, revoked).verifies(0, 1, apikey.OK, "red"), all,
		},
		"a revoked key is refused by the other instance": {
			created.changes(revoke, revoked).verifies(1, 1, apikey.RevokedKey, "red"),
			created.changes(revoke, revoked).verifies(1, 1, apikey.OK, "red"), all,
		},
		"a disabled key is refused": {
			created.changes(disable, disabled).verifies(0, 1, apikey.DisabledKey, "red"),
			created.changes(disable, disabled).verifies(0, 1, apikey.OK, "red"), all,
		},
		"an enabled key is accepted": {
			created.changes(disable, disabled).changes(enable, enabled).verifies(0, 1, apikey.OK, "red"),
			created.changes(disable, disabled).changes(enable, enabled).verifies(0, 1, apikey.DisabledKey, "red"), all,
		},
		"a revoked key stays revoked": {
			created.changes(revoke, revoked).add(input{kind: enable}, output{code: apikey.InvalidState}),
			created.changes(revoke, revoked).changes(enable, enabled), all,
		},
		"revoking twice is no error": {
			created.changes(revoke, revoked).changes(revoke, revoked),
			created.changes(revoke, revoked).add(input{kind: revoke}, output{code: apikey.InvalidState}), all,
		},
		"scopes that were taken away are gone": {
			created.changes(update, green).verifies(0, 1, apikey.OK, "green"),
			created.changes(update, green).verifies(0, 1, apikey.OK, "red"), all,
		},
		"both secrets work while a key is rotated": {
			created.changes(rotate, rotated).verifies(0, 1, apikey.OK, "red").verifies(0, 2, apikey.OK, "red"),
			created.changes(rotate, rotated).verifies(0, 2, apikey.InvalidKey, ""), all,
		},
		"a secret that was replaced at once has ended": {
			created.add(input{kind: rotate, at1: true}, output{after: replaced}).inForce(2).verifies(0, 1, apikey.ExpiredKey, "red"),
			created.add(input{kind: rotate, at1: true}, output{after: replaced}).inForce(2).verifies(0, 1, apikey.OK, "red"), all,
		},
		"a rotation that is finished has ended the old secret": {
			created.changes(rotate, rotated).changes(finish, finished).verifies(0, 1, apikey.ExpiredKey, "red"),
			created.changes(rotate, rotated).changes(finish, finished).verifies(0, 1, apikey.OK, "red"), all,
		},
		"a rotation that is taken back has ended the new secret": {
			created.changes(rotate, rotated).changes(cancel, canceled).verifies(0, 2, apikey.ExpiredKey, "red").verifies(0, 1, apikey.OK, "red"),
			created.changes(rotate, rotated).changes(cancel, canceled).verifies(0, 2, apikey.OK, "red"), all,
		},
		"a key is rotated once at a time": {
			created.changes(rotate, rotated).add(input{kind: rotate}, output{code: apikey.InvalidState}),
			created.changes(rotate, rotated).changes(rotate, version{revision: 3, current: 3, previous: 2, scopes: "red"}), all,
		},
		"a key is not there before it is created": {
			none.verifies(0, 1, apikey.InvalidKey, "").changes(create, red),
			none.verifies(0, 1, apikey.OK, "red").changes(create, red), all,
		},
		"a key is there when it is created": {
			none.verifies(0, 1, apikey.InvalidKey, "").changes(create, red).verifies(0, 1, apikey.OK, "red"),
			none.verifies(0, 1, apikey.InvalidKey, "").changes(create, red).verifies(0, 1, apikey.InvalidKey, ""), all,
		},
		"no change is lost": {
			created.changes(disable, disabled).gets(disabled),
			created.changes(disable, disabled).gets(red), all,
		},
		"of two changes one comes first": {
			created.during(input{kind: disable}, output{after: disabled}).changes(update, version{revision: 3, current: 1, scopes: "green", disabled: true}),
			created.during(input{kind: disable}, output{after: disabled}).changes(update, green), all,
		},
		"a view does not go back while a change is under way": {
			created.verifies(0, 1, apikey.OK, "red").during(input{kind: disable}, output{after: disabled}).verifies(0, 1, apikey.DisabledKey, "red"),
			created.verifies(0, 1, apikey.DisabledKey, "red").verifies(0, 1, apikey.OK, "red").during(input{kind: disable}, output{after: disabled}), all,
		},
		"while a change is under way two instances may differ, and one object does not": {
			created.verifies(0, 1, apikey.DisabledKey, "red").during(input{kind: disable}, output{after: disabled}).inForce(2).verifies(1, 1, apikey.DisabledKey, "red"),
			created.verifies(0, 1, apikey.DisabledKey, "red").verifies(1, 1, apikey.OK, "red").during(input{kind: disable}, output{after: disabled}), one | view,
		},
		"a change whose answer was lost happens once": {
			created.during(input{kind: disable}, output{lost: true}).verifies(0, 1, apikey.OK, "red").verifies(0, 1, apikey.DisabledKey, "red"),
			created.during(input{kind: disable}, output{lost: true}).verifies(0, 1, apikey.DisabledKey, "red").verifies(0, 1, apikey.OK, "red"), all,
		},
		"an error that says nothing breaks nothing": {
			created.verifies(0, 1, apikey.Unavailable, "").verifies(0, 1, apikey.OK, "red"),
			created.verifies(0, 1, apikey.Unavailable, "").verifies(0, 1, apikey.ExpiredKey, "red"), all,
		},
		"a secret that nobody was given is not valid": {
			created.verifies(0, 2, apikey.InvalidKey, ""),
			created.verifies(0, 2, apikey.OK, "red"), all,
		},
	} {
		for i, n := range []int{0, 1, 2} {
			right, wrong := c.right, c.wrong
			if n < 2 { // then what the other instance says, says the only one
				right, wrong = right.onOne(), wrong.onOne()
			}
			if got := porcupine.CheckOperationsTimeout(model(n), right.ops, patience); got != porcupine.Ok {
				t.Errorf("%s: %s, porcupine says %v of a history that is right:\n%s", rule, holds(n), got, text(right.ops))
			}
			want := porcupine.Ok
			if c.models&(1<<i) != 0 {
				want = porcupine.Illegal
			}
			if got := porcupine.CheckOperationsTimeout(model(n), wrong.ops, patience); got != want {
				t.Errorf("%s: %s, porcupine says %v, want %v of\n%s", rule, holds(n), got, want, text(wrong.ops))
			}
		}
	}
}
