package admin

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"unicode/utf8"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/internal/bounds"
)

// Authorizer says who makes a request to the handler: it reads the session of
// your own sign-in, never an API key. It is called for every request except the
// style sheet's, and concurrently.
//
// An error denies access: [ErrUnauthenticated] (or any error from outside this
// module) is answered with 401, [ErrForbidden] with 403,
// [apikey.Unavailable] with 503. The Msg of an [apikey.Error] with one of
// the first two codes is shown; any other text is only logged. An error that is
// an [http.Handler] answers the request itself: a redirect to a sign-in page, a
// challenge. If it redirects a request that the page itself sent (usually a
// form whose session has ended), the answer becomes a page with status 401 and
// the link, with the redirect's other header fields: browsers would drop the
// redirect of a form to another origin. This does not help middleware outside
// the handler that redirects forms.
type Authorizer func(r *http.Request) (Actor, error)

// Errors for an [Authorizer] to return; they may be wrapped in any way.
var (
	ErrUnauthenticated = &apikey.Error{Code: apikey.Unauthenticated, Msg: "sign in to manage API keys"}
	ErrForbidden       = &apikey.Error{Code: apikey.Forbidden, Msg: "this account may not manage API keys: ask for access"}
)

// Role says whose keys an [Actor] manages. The zero Role is not a role, and is
// refused.
type Role uint8

// The roles.
const (
	// Customer manages the keys of one owner, [Actor.Owner]; to a Customer every
	// other key does not exist.
	Customer Role = iota + 1
	// Operator manages the keys of all owners.
	Operator
)

// String returns the role's name, for example "operator".
func (r Role) String() string {
	switch r {
	case Customer:
		return "customer"
	case Operator:
		return "operator"
	}
	return "none"
}

// Actor is who makes a request, as your sign-in knows them. The zero Actor is
// nobody and is refused, so that a forgotten field grants no access.
type Actor struct {
	// ID goes into the audit trail: an account, an e-mail address. Required,
	// at most 256 characters.
	ID string
	// Role says whose keys the actor manages. Required.
	Role Role
	// Owner is the account of a [Customer], and becomes the owner of every key
	// that they create. Required for a Customer, empty for an [Operator].
	Owner string
	// ReadOnly denies every change, to either role.
	ReadOnly bool
	// Plans are those that a Customer may give to keys; the first is the default.
	// Empty means only the service's default plan, so that customers cannot choose
	// their way out of a limit. An Operator may give any plan.
	Plans []string
	// From is the address for the audit trail. It defaults to the client's, as
	// determined by Options.Guard, and without a guard to the peer's. At most 256
	// characters.
	From string
}

// validate prevents an authorizer's mistake from granting access: a Customer
// without an owner would otherwise see every owner's keys.
func (a *Actor) validate() error {
	switch {
	case a.ID == "" || utf8.RuneCountInString(a.ID) > 256 || !bounds.Text(a.ID):
		return errors.New("Actor.ID must be 1 to 256 characters of text")
	case a.Role == Customer && a.Owner == "":
		return errors.New("Actor.Owner is empty: a Customer needs the owner of their keys")
	case a.Role == Operator && a.Owner != "":
		return errors.New("Actor.Owner is set for an Operator, who sees all owners: make the actor a Customer, or leave it empty")
	case a.Role != Customer && a.Role != Operator:
		return fmt.Errorf("there is no Actor.Role %d", a.Role)
	}
	return nil
}

// operator reports whether the actor sees the keys of all owners.
func (a *Actor) operator() bool { return a.Role == Operator }

// sees reports whether a key of this owner exists for the actor. Every access
// to another person's key is checked by it.
func (a *Actor) sees(owner string) bool {
	return a.Role == Operator || a.Role == Customer && a.Owner != "" && a.Owner == owner
}

// plans returns the plans that the actor may give to keys, the default first;
// nil means any.
func (a *Actor) plans(keys *latchkey.Service) []string {
	switch {
	case a.operator():
		return nil
	case len(a.Plans) > 0:
		return slices.Clone(a.Plans)
	}
	return []string{keys.DefaultPlan()}
}
