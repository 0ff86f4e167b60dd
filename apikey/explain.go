package apikey

import (
	"context"
	"errors"
	"net/netip"
)

// Step is one check of the decision on a request.
type Step uint8

// The checks, in the order in which they are made.
const (
	StepForm        Step = iota // form and checksum of the token
	StepSecret                  // there is such a key, and the secret is right
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

// Question is a request that somebody asks about, instead of making it.
type Question struct {
	// KeyID names the key; the request is then taken to have the right secret.
	KeyID string
	// Secret is the number of that secret; 0 means the newest.
	Secret uint32
	// Token is what the request would be sent with, when KeyID is empty. It is
	// not kept.
	Token string
	// Host is what the request would call; empty means a host of the key's own
	// environment.
	Host string
	// Client is the address that the request would come from.
	Client netip.Addr
	// Need is what the route asks of the key's scopes.
	Need Requirement
}

// Check is how one check ends: OK, or with the code that the client gets when
// no check before it fails.
type Check struct {
	Step Step
	Code Code
}

// Explanation answers a [Question]: every check that can be made, whether or not
// one before it fails. When the key of a token is not known that is the first
// one or two.
type Explanation struct {
	Checks []Check

	verified Verified
}

// Code returns how the request would end, as far as Checks go: the code of the
// first that fails.
func (e *Explanation) Code() Code {
	for _, c := range e.Checks {
		if c.Code != OK {
			return c.Code
		}
	}
	return OK
}

// Verified returns whose key it is; false when that is not known. It is there
// for questions about limits: nobody was authenticated.
func (e *Explanation) Verified() (Verified, bool) {
	return e.verified, e.verified.credential != nil
}

// Explain tells how a request would end and why, from the checks that
// [Service.Verify] and [Verified.Permits] are made of. It leaves no trace:
// nothing is charged or counted, no secret is taken for used. Limits are
// [StepLimits], for who knows the limiter.
//
// A key that cannot be confirmed now, because of the store or its plan, fails
// [StepSecret] with [Unavailable], as its requests do. Errors are [ErrNotFound]
// for a KeyID, [ErrInvalidArgument] for a Secret that the key has not,
// [ErrClosed], and ctx's own.
func (s *Service) Explain(ctx context.Context, q Question) (Explanation, error) {
	v, err := s.inQuestion(ctx, &q)
	code := CodeOf(err)
	known := v.credential != nil
	switch {
	case err != nil && !known && code != InvalidKey && code != Unavailable:
		return Explanation{}, err
	case code == InvalidKey:
		if _, ok := s.format.parse(q.Token); !ok {
			return Explanation{Checks: []Check{{StepForm, code}}}, nil
		}
		fallthrough
	case code == Unavailable:
		return Explanation{Checks: []Check{{StepForm, OK}, {StepSecret, code}}}, nil
	}
	e := Explanation{Checks: []Check{{StepForm, OK}, {StepSecret, OK}, {StepState, code}}, verified: v}
	host := q.Host
	if host == "" {
		host = v.snap.terms.env.host()
	}
	free := []Check{{StepEnvironment, EnvironmentMismatch}, {StepNetwork, NetworkNotAllowed}, {StepScopes, InsufficientScope}}
	for i, passes := range []bool{v.Serves(host), !v.Networks() || v.AllowsNetwork(q.Client), v.Meets(q.Need)} {
		if passes {
			free[i].Code = OK
		}
	}
	e.Checks = append(e.Checks, free...)
	return e, nil
}

// inQuestion authenticates what a question is about.
func (s *Service) inQuestion(ctx context.Context, q *Question) (Verified, error) {
	if q.KeyID == "" {
		return s.authenticate(ctx, q.Token)
	}
	if s.closed.Load() {
		return Verified{}, ErrClosed
	}
	if len(q.KeyID) != idLen {
		return Verified{}, ErrNotFound
	}
	snap, err := s.snapshot(ctx, parsedToken{id: q.KeyID})
	if errors.Is(err, ErrInvalidKey) {
		return Verified{}, ErrNotFound
	} else if err != nil {
		return Verified{}, err
	}
	for c := &snap.current; c != nil; c = c.next() {
		if q.Secret != 0 && q.Secret != c.principal.secret {
			continue
		}
		if code := c.refusal(); code != OK {
			return Verified{c}, sentinels[code]
		}
		return Verified{c}, nil
	}
	return Verified{}, invalidf("secret", "the key has no secret of this number")
}
