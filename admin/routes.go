package admin

import (
	"net/http"
	"strings"
)

// access is what a route requires of the actor, in addition to the right to the
// key that it names. The zero access admits nobody: a new route must state its
// access.
type access uint8

const (
	nobody       access = iota
	everybody           // no actor needed: the style sheet and the module
	reads               // any actor
	writes              // an actor who is not read-only
	operatorRead        // an operator
	operatorOnly        // an operator who is not read-only
)

// route is one row of the handler's table. A path with {id} names a key:
// [Handler.serve] finds it and checks the actor's right to it before handle
// runs, so no route can forget to.
type route struct {
	method string
	path   string // as in http.ServeMux, from the mount point
	access access
	handle func(c *call) error
}

func (rt *route) pattern() string { return rt.method + " " + rt.path }

// namesKey reports whether the path names a key.
func (rt *route) namesKey() bool { return strings.Contains(rt.path, "{id}") }

// api reports whether the route uses JSON.
func (rt *route) api() bool { return isAPI(rt.path) }

func isAPI(path string) bool { return path == "/v1" || strings.HasPrefix(path, "/v1/") }

// table lists all routes.
func table() []route {
	return []route{
		// REST
		{http.MethodGet, "/v1/whoami", reads, (*call).whoami},
		{http.MethodGet, "/v1/environments", reads, (*call).environments},
		{http.MethodGet, "/v1/plans", reads, (*call).plans},
		{http.MethodGet, "/v1/scopes", reads, (*call).scopes},
		{http.MethodGet, "/v1/keys", reads, (*call).listKeys},
		{http.MethodPost, "/v1/keys", writes, (*call).createKey},
		{http.MethodGet, "/v1/keys/{id}", reads, (*call).getKey},
		{http.MethodPatch, "/v1/keys/{id}", writes, (*call).updateKey},
		{http.MethodDelete, "/v1/keys/{id}", writes, (*call).deleteKey},
		{http.MethodPost, "/v1/keys/{id}/disable", writes, (*call).disableKey},
		{http.MethodPost, "/v1/keys/{id}/enable", writes, (*call).enableKey},
		{http.MethodPost, "/v1/keys/{id}/revoke", writes, (*call).revokeKey},
		{http.MethodPost, "/v1/keys/{id}/rotate", writes, (*call).rotateKey},
		{http.MethodGet, "/v1/keys/{id}/rotation", reads, (*call).rotation},
		{http.MethodPost, "/v1/keys/{id}/finish-rotation", writes, (*call).finishRotation},
		{http.MethodPost, "/v1/keys/{id}/cancel-rotation", writes, (*call).cancelRotation},
		{http.MethodGet, "/v1/keys/{id}/usage", reads, (*call).usage},
		{http.MethodGet, "/v1/keys/{id}/audit", reads, (*call).keyAudit},
		{http.MethodGet, "/v1/keys/{id}/audit.csv", reads, (*call).keyAuditCSV},
		{http.MethodPost, "/v1/keys/{id}/explain", reads, (*call).explainKey},
		{http.MethodGet, "/v1/audit", reads, (*call).audit},
		{http.MethodGet, "/v1/audit.csv", reads, (*call).ownerAuditCSV},
		{http.MethodGet, "/v1/due", reads, (*call).due},
		{http.MethodPost, "/v1/identify", reads, (*call).identify},
		{http.MethodPost, "/v1/explain", reads, (*call).explainToken},
		{http.MethodGet, "/v1/pepper-use", operatorRead, (*call).pepperUse},
		{http.MethodPost, "/v1/purge", operatorOnly, (*call).purge},
		{http.MethodGet, "/v1/health", operatorRead, (*call).health},
		{http.MethodPost, "/v1/refresh-plans", operatorOnly, (*call).refreshPlans},
		{http.MethodGet, "/v1/openapi.yaml", reads, (*call).openAPIDocument},

		// The page
		{http.MethodGet, "/{$}", reads, (*call).pageList},
		{http.MethodGet, "/new", writes, (*call).pageNew},
		{http.MethodPost, "/new", writes, (*call).pageCreate},
		{http.MethodGet, "/leak", reads, (*call).pageLeak},
		{http.MethodPost, "/leak", reads, (*call).pageFind},
		{http.MethodGet, "/routes", operatorRead, (*call).pageRoutes},
		{http.MethodGet, "/keys/{id}", reads, (*call).pageKey},
		{http.MethodGet, "/keys/{id}/copy", writes, (*call).pageCopy},
		{http.MethodGet, "/keys/{id}/secret", reads, (*call).pageGone},
		{http.MethodGet, "/keys/{id}/first-use", reads, (*call).pageFirstUse},
		{http.MethodGet, "/keys/{id}/rotation", reads, (*call).pageRotation},
		{http.MethodPost, "/keys/{id}/settings", writes, (*call).pageSettings},
		{http.MethodPost, "/keys/{id}/disable", writes, (*call).pageDisable},
		{http.MethodPost, "/keys/{id}/enable", writes, (*call).pageEnable},
		{http.MethodPost, "/keys/{id}/revoke", writes, (*call).pageRevoke},
		{http.MethodPost, "/keys/{id}/rotate", writes, (*call).pageRotate},
		{http.MethodPost, "/keys/{id}/finish-rotation", writes, (*call).pageFinish},
		{http.MethodPost, "/keys/{id}/cancel-rotation", writes, (*call).pageCancel},
		// The addresses to which forms are posted, opened by hand.
		{http.MethodGet, "/keys/{id}/{action}", reads, (*call).pageBack},
		{http.MethodGet, "/assets/admin.css", everybody, (*call).styleSheet},
		{http.MethodGet, "/assets/admin.js", everybody, (*call).module},
	}
}
