package apikey

import (
	"errors"
	"fmt"
)

// Code says why a request or an operation was refused. The set is closed: every
// code has one row in the table below, and only that row decides how each wire
// shows the refusal. The zero Code is OK.
//
// A Code is an error, as an errno is. It matches every [*Error] with that code:
//
//	if errors.Is(err, apikey.NotFound) { … }
//
// Revoke and similar operations cancel the contexts of requests in flight with
// a Code as the cause.
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

// The codes of an operation on keys (latchkey.Service and admin).
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
	// Message is what an error of this code says, for people.
	Message string
}

// codeTable is indexed by the code: a refusal reads it several times.
var codeTable = [...]CodeInfo{
	OK:                  {"ok", "OK", 200, "", 0, "", "no error"},
	MissingKey:          {"missing_key", "API key missing", 401, "", 16, "unauthenticated", "no API key was sent"},
	MalformedRequest:    {"malformed_request", "Malformed authorization", 400, "invalid_request", 3, "invalid_argument", "the Authorization header is malformed"},
	InvalidKey:          {"invalid_key", "API key not valid", 401, "invalid_token", 16, "unauthenticated", "the API key is not valid"},
	ExpiredKey:          {"expired_key", "API key expired", 401, "invalid_token", 16, "unauthenticated", "the API key has expired"},
	DisabledKey:         {"disabled_key", "API key disabled", 401, "invalid_token", 16, "unauthenticated", "the API key is disabled"},
	RevokedKey:          {"revoked_key", "API key revoked", 401, "invalid_token", 16, "unauthenticated", "the API key was revoked"},
	EnvironmentMismatch: {"environment_mismatch", "API key of another environment", 401, "invalid_token", 16, "unauthenticated", "the API key belongs to another environment"},
	NetworkNotAllowed:   {"network_not_allowed", "Network not allowed", 403, "", 7, "permission_denied", "the API key may not be used from this network"},
	InsufficientScope:   {"insufficient_scope", "Scope missing", 403, "insufficient_scope", 7, "permission_denied", "the API key lacks a scope"},
	RateLimited:         {"rate_limited", "Rate limit exceeded", 429, "", 8, "resource_exhausted", "the API key is over its limit"},
	Unavailable:         {"unavailable", "Temporarily unavailable", 503, "", 14, "unavailable", "the API key cannot be confirmed right now"},
	NotFound:            {"not_found", "No such key", 404, "", 5, "not_found", "no such key"},
	InvalidArgument:     {"invalid_argument", "Invalid value", 422, "", 3, "invalid_argument", "invalid value"},
	Conflict:            {"conflict", "Conflict", 409, "", 10, "aborted", "the key was changed meanwhile: read it again and retry"},
	InvalidState:        {"invalid_state", "Not possible in this state", 409, "", 9, "failed_precondition", "the key's state does not allow this"},
	SecretInUse:         {"secret_in_use", "The old secret is still in use", 409, "", 9, "failed_precondition", "the old secret is still in use"},
	Unauthenticated:     {"unauthenticated", "Sign in first", 401, "", 16, "unauthenticated", "nobody is signed in"},
	Forbidden:           {"forbidden", "Not allowed", 403, "", 7, "permission_denied", "the actor may not do this"},
	Internal:            {"internal", "Internal error", 500, "", 13, "internal", "a fault of the service; its log says more"},
	Closed:              {"closed", "Shutting down", 503, "", 14, "unavailable", "the service is closed"},
	AlreadyCreated:      {"already_created", "Created already", 409, "", 6, "already_exists", "this creation has made its key already: the secret was shown then, and is not shown again"},
	OnceReused:          {"idempotency_key_reused", "Idempotency key of another request", 422, "", 3, "invalid_argument", "this name stands for another creation: take a new one"},
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

// Error returns the stable name and a sentence: "revoked_key: the API key was revoked".
func (c Code) Error() string { return c.Info().Name + ": " + c.Info().Message }

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
// [errors.Is] finds an Error by its [Code].
type Error struct {
	Code  Code
	Field string // the argument at fault, for InvalidArgument; may be empty
	Msg   string
	Err   error // the cause; may be nil
}

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

// Is reports whether target is the error's Code.
func (e *Error) Is(target error) bool { return target == e.Code }

// CodeOf returns the code of err: [OK] for nil, [Internal] for an error of
// another type.
func CodeOf(err error) Code {
	if err == nil {
		return OK
	}
	if c, ok := err.(Code); ok { // as most refusals are
		return c
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	if c, ok := errors.AsType[Code](err); ok {
		return c
	}
	return Internal
}

func invalidf(field, format string, args ...any) error {
	return &Error{Code: InvalidArgument, Field: field, Msg: fmt.Sprintf(format, args...)}
}
