package latchkey

import (
	"context"
	"net/netip"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/internal/engine"
	"github.com/wontopos/latchkey/internal/faults"
)

// Step is one check in the decision about a request.
type Step uint8

// The checks, in the order in which they are made.
const (
	StepForm        Step = iota // form and checksum of the token
	StepSecret                  // the key exists, and the secret is right
	StepState                   // not revoked, disabled or expired
	StepEnvironment             // against the host
	StepNetwork                 // against the client's address
	StepScopes                  // against what the route needs
	StepLimits                  // made by package middleware
)

// String returns the step's name, for example "scopes".
func (s Step) String() string {
	names := [...]string{"form", "secret", "state", "environment", "network", "scopes", "limits"}
	if int(s) < len(names) {
		return names[s]
	}
	return "unknown"
}

// Question describes a request whose outcome somebody asks about without making
// it.
type Question struct {
	// KeyID identifies the key; the request is then assumed to have the right
	// secret.
	KeyID string
	// Secret is the number of that secret; 0 means the newest.
	Secret uint32
	// Token is the token that the request would carry, if KeyID is empty. It is
	// not kept.
	Token string
	// Host is what the request would call; empty means a host of the key's own
	// environment.
	Host string
	// Client is the address that the request would come from.
	Client netip.Addr
	// Need is what the route requires of the key's scopes.
	Need apikey.Requirement
}

// Check is the result of one check: OK, or the code that the client gets if no
// earlier check fails.
type Check struct {
	Step Step
	Code apikey.Code
}

// Explanation answers a [Question]. It has every check that can be made,
// whether or not an earlier one fails. If the key of a token is not known,
// those are the first one or two.
type Explanation struct {
	Checks []Check

	verified engine.Verified
}

// Code returns how the request would end, as far as Checks go: the code of the
// first one that fails.
func (e *Explanation) Code() apikey.Code {
	for _, c := range e.Checks {
		if c.Code != apikey.OK {
			return c.Code
		}
	}
	return apikey.OK
}

// Principal returns whose key the question is about, or nil if the key is not
// known. Nobody was authenticated.
func (e *Explanation) Principal() *apikey.Principal {
	if e.verified.IsZero() {
		return nil
	}
	return e.verified.Principal()
}

// Explain reports how a request would end and why, using the checks of
// [Service.Verify], and those that a guard makes. It leaves no trace: nothing is
// charged or counted, and no secret counts as used. [StepLimits] is for callers
// that know the limiter.
//
// A key that cannot be confirmed now, because of the store or its plan, fails
// [StepSecret] with [apikey.Unavailable], as its requests do. The errors are
// [apikey.NotFound] for a KeyID, [apikey.InvalidArgument] for a Secret that the key
// does not have, [apikey.Closed], and ctx's own.
func (s *Service) Explain(ctx context.Context, q Question) (Explanation, error) {
	v, err := s.inQuestion(ctx, &q)
	code := apikey.CodeOf(err)
	known := !v.IsZero()
	switch {
	case err != nil && !known && code != apikey.InvalidKey && code != apikey.Unavailable:
		return Explanation{}, err
	case code == apikey.InvalidKey:
		if _, ok := s.format.Parse(q.Token); !ok {
			return Explanation{Checks: []Check{{StepForm, code}}}, nil
		}
		fallthrough
	case code == apikey.Unavailable:
		return Explanation{Checks: []Check{{StepForm, apikey.OK}, {StepSecret, code}}}, nil
	}
	e := Explanation{Checks: []Check{{StepForm, apikey.OK}, {StepSecret, apikey.OK}, {StepState, code}}, verified: v}
	host := q.Host
	if env := v.Environment(); host == "" && !env.AnyHost {
		host = env.Hosts[0]
	}
	free := []Check{{StepEnvironment, apikey.EnvironmentMismatch}, {StepNetwork, apikey.NetworkNotAllowed}, {StepScopes, apikey.InsufficientScope}}
	for i, passes := range []bool{v.Serves(host), !v.Networks() || v.AllowsNetwork(q.Client), v.Meets(q.Need)} {
		if passes {
			free[i].Code = apikey.OK
		}
	}
	e.Checks = append(e.Checks, free...)
	return e, nil
}

// inQuestion authenticates the key that a question is about.
func (s *Service) inQuestion(ctx context.Context, q *Question) (engine.Verified, error) {
	if q.KeyID == "" {
		return s.engine.Authenticate(ctx, q.Token)
	}
	v, err := s.engine.Known(ctx, q.KeyID, q.Secret)
	if v.IsZero() && err == nil {
		err = faults.Invalid("secret", "the key has no secret of this number")
	}
	return v, err
}
