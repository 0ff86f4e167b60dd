package apikey

import (
	"errors"
	"fmt"
)

// Code says why a request or an operation was refused. The set is closed: every
// code has one row in the table below, and only that row decides how each wire
// shows the refusal. The zero Code is OK.
type Code uint8

// The codes of a request that carries (or lacks) a key.
const (
	OK                  Code = iota
	MissingKey               // nothing was sent, or another scheme
	MalformedRequest         // two credentials, or not a b64token
	InvalidKey               // bad format or checksum, unknown, or wrong secret
	ExpiredKey               // right secret, past its expiry or its grace
	DisabledKey              // right secret, switched off for now
	RevokedKey               // right secret, revoked for good
	EnvironmentMismatch      // a key of one environment on the host of another
	NetworkNotAllowed        // the key may not be used from this address
	InsufficientScope        // the key lacks a scope that the route needs
	RateLimited              // over a limit
	Unavailable              // the store cannot confirm; nothing is known about the key
)

// The codes of an operation on keys ([latchkey.Service] and admin).
const (
	NotFound        Code = iota + 64 // no such key (or not the caller's)
	InvalidArgument                  // a field has a bad value
	Conflict                         // changed meanwhile, or exists already
	InvalidState                     // the key's state does not allow it
	SecretInUse                      // the old secret still serves requests
	Unauthenticated                  // admin: nobody is signed in
	Forbidden                        // admin: the actor may not do this
	Internal                         // a fault of ours; the log has the cause
	Closed                           // used after Close
	AlreadyCreated                   // the same creation was made before: NewKey.Once
	OnceReused                       // the name belongs to another creation
)

// CodeInfo is one row of the table: how each wire shows a code.
type CodeInfo struct {
	// Name is the stable, machine-readable name: the "code" member of a
	// problem, and the last path segment of its "type".
	Name string
	// Title is the short human-readable summary of RFC 9457.
	Title string
	// Status is the HTTP status.
	Status int
	// BearerError is the "error" attribute of WWW-Authenticate (RFC 6750, section
	// 3.1); empty where RFC 6750 wants none or defines none.
	BearerError string
	// GRPC is the number of the gRPC status code.
	GRPC uint32
	// Connect is the name of the Connect protocol's code.
	Connect string
}

// codeTable is indexed by the code: a refusal reads it several times.
var codeTable = [...]CodeInfo{
	OK:                  {"ok", "OK", 200, "", 0, ""},
	MissingKey:          {"missing_key", "API key missing", 401, "", 16, "unauthenticated"},
	MalformedRequest:    {"malformed_request", "Malformed authorization", 400, "invalid_request", 3, "invalid_argument"},
	InvalidKey:          {"invalid_key", "API key not valid", 401, "invalid_token", 16, "unauthenticated"},
	ExpiredKey:          {"expired_key", "API key expired", 401, "invalid_token", 16, "unauthenticated"},
	DisabledKey:         {"disabled_key", "API key disabled", 401, "invalid_token", 16, "unauthenticated"},
	RevokedKey:          {"revoked_key", "API key revoked", 401, "invalid_token", 16, "unauthenticated"},
	EnvironmentMismatch: {"environment_mismatch", "API key of another environment", 401, "invalid_token", 16, "unauthenticated"},
	NetworkNotAllowed:   {"network_not_allowed", "Network not allowed", 403, "", 7, "permission_denied"},
	InsufficientScope:   {"insufficient_scope", "Scope missing", 403, "insufficient_scope", 7, "permission_denied"},
	RateLimited:         {"rate_limited", "Rate limit exceeded", 429, "", 8, "resource_exhausted"},
	Unavailable:         {"unavailable", "Temporarily unavailable", 503, "", 14, "unavailable"},
	NotFound:            {"not_found", "No such key", 404, "", 5, "not_found"},
	InvalidArgument:     {"invalid_argument", "Invalid value", 422, "", 3, "invalid_argument"},
	Conflict:            {"conflict", "Conflict", 409, "", 10, "aborted"},
	InvalidState:        {"invalid_state", "Not possible in this state", 409, "", 9, "failed_precondition"},
	SecretInUse:         {"secret_in_use", "The old secret is still in use", 409, "", 9, "failed_precondition"},
	Unauthenticated:     {"unauthenticated", "Sign in first", 401, "", 16, "unauthenticated"},
	Forbidden:           {"forbidden", "Not allowed", 403, "", 7, "permission_denied"},
	Internal:            {"internal", "Internal error", 500, "", 13, "internal"},
	Closed:              {"closed", "Shutting down", 503, "", 14, "unavailable"},
	AlreadyCreated:      {"already_created", "Created already", 409, "", 6, "already_exists"},
	OnceReused:          {"idempotency_key_reused", "Idempotency key of another request", 422, "", 3, "invalid_argument"},
}

// Info returns the code's row. A number outside the closed set is treated as
// [Internal], so that a mistake never looks like success.
func (c Code) Info() CodeInfo {
	if int(c) < len(codeTable) && codeTable[c].Name != "" {
		return codeTable[c]
	}
	return codeTable[Internal]
}

// String returns the stable name, for example "revoked_key".
func (c Code) String() string { return c.Info().Name }

// Codes returns the closed set, in no particular order, for code that must map
// every code (and for the test that it does).
func Codes() []Code {
	all := make([]Code, 0, len(codeTable))
	for c, info := range codeTable {
		if info.Name != "" {
			all = append(all, Code(c))
		}
	}
	return all
}

// Error is the error type of this module: a code that decides how it is
// answered, and a message that tells the reader what to do next. The message
// never contains a secret, a digest or a store's text. The cause may; it is
// available through Unwrap and only for logs.
//
// [errors.Is] considers two errors equal if their codes are equal, so the
// sentinels below match every error with their code:
//
//	if errors.Is(err, apikey.ErrNotFound) { … }
type Error struct {
	Code  Code
	Field string // the argument at fault, for InvalidArgument; may be empty
	Msg   string
	Err   error // the cause; may be nil
}

// The sentinels, one for each code. Revoke and similar operations cancel the
// contexts of requests in flight with one of these as the cause.
var (
	ErrMissingKey          = &Error{Code: MissingKey, Msg: "no API key was sent"}
	ErrMalformedRequest    = &Error{Code: MalformedRequest, Msg: "the Authorization header is malformed"}
	ErrInvalidKey          = &Error{Code: InvalidKey, Msg: "the API key is not valid"}
	ErrExpired             = &Error{Code: ExpiredKey, Msg: "the API key has expired"}
	ErrDisabled            = &Error{Code: DisabledKey, Msg: "the API key is disabled"}
	ErrRevoked             = &Error{Code: RevokedKey, Msg: "the API key was revoked"}
	ErrEnvironmentMismatch = &Error{Code: EnvironmentMismatch, Msg: "the API key belongs to another environment"}
	ErrNetworkNotAllowed   = &Error{Code: NetworkNotAllowed, Msg: "the API key may not be used from this network"}
	ErrInsufficientScope   = &Error{Code: InsufficientScope, Msg: "the API key lacks a scope"}
	ErrRateLimited         = &Error{Code: RateLimited, Msg: "the API key is over its limit"}
	ErrUnavailable         = &Error{Code: Unavailable, Msg: "the API key cannot be confirmed right now"}
	ErrNotFound            = &Error{Code: NotFound, Msg: "no such key"}
	ErrConflict            = &Error{Code: Conflict, Msg: "the key was changed meanwhile: read it again and retry"}
	ErrInvalidState        = &Error{Code: InvalidState, Msg: "the key's state does not allow this"}
	ErrSecretInUse         = &Error{Code: SecretInUse, Msg: "the old secret is still in use"}
	ErrClosed              = &Error{Code: Closed, Msg: "the service is closed"}
	ErrInvalidArgument     = &Error{Code: InvalidArgument, Msg: "invalid value"}
	ErrAlreadyCreated      = &Error{Code: AlreadyCreated, Msg: "this creation has made its key already: the secret was shown then, and is not shown again"}
	ErrOnceReused          = &Error{Code: OnceReused, Msg: "this name stands for another creation: take a new one"}

	// ErrUnknownPlan is returned by a [PlanSource] for a name that it does not
	// have.
	ErrUnknownPlan = &Error{Code: InvalidArgument, Field: "plan", Msg: "no such plan"}
)

func (e *Error) Error() string {
	switch {
	case e.Field != "":
		return "apikey: " + e.Field + ": " + e.Msg
	case e.Err != nil:
		return "apikey: " + e.Msg + ": " + e.Err.Error()
	}
	return "apikey: " + e.Msg
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Is makes errors with the same code equal.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code
}

// CodeOf returns the code of err: [OK] for nil, [Internal] for an error of
// another type.
func CodeOf(err error) Code {
	if err == nil {
		return OK
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return Internal
}

func invalidf(field, format string, args ...any) error {
	return &Error{Code: InvalidArgument, Field: field, Msg: fmt.Sprintf(format, args...)}
}
