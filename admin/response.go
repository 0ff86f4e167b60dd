package admin

import (
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/internal/bounds"
)

// keyJSON is a key as the API shows it.
type keyJSON struct {
	ID          string            `json:"id"`
	Hint        string            `json:"hint"` // the public beginning of its tokens
	Name        string            `json:"name"`
	Owner       string            `json:"owner"`
	Environment string            `json:"environment"`
	State       apikey.State      `json:"state"`
	Rotating    bool              `json:"rotating"`
	Scopes      []string          `json:"scopes"`
	Plan        string            `json:"plan"`
	Limits      []limit           `json:"limits"`
	Networks    []string          `json:"networks"`
	Metadata    map[string]string `json:"metadata,omitzero"` // operators only

	CreatedAt time.Time `json:"created_at"`
	CreatedBy string    `json:"created_by"`
	UpdatedAt time.Time `json:"updated_at"`
	ExpiresAt time.Time `json:"expires_at,omitzero"`
	// RotateBy is when the current secret becomes older than the service wants.
	RotateBy time.Time `json:"rotate_by,omitzero"`

	DisabledAt   time.Time `json:"disabled_at,omitzero"`
	DisabledBy   string    `json:"disabled_by,omitempty"`
	Locked       bool      `json:"locked,omitempty"` // only operators can enable it
	RevokedAt    time.Time `json:"revoked_at,omitzero"`
	RevokedBy    string    `json:"revoked_by,omitempty"`
	RevokeReason string    `json:"revoke_reason,omitempty"`

	Secrets  []secretJSON `json:"secrets"`
	Revision uint64       `json:"revision"`

	Activity *activityJSON `json:"activity,omitempty"` // in lists that ask for it
}

// activityJSON is what a row of a list shows about a key's use.
type activityJSON struct {
	Days []dayJSON      `json:"days"`
	Last apikey.LastUse `json:"last"`
}

type dayJSON struct {
	Day    time.Time         `json:"day"`
	Counts map[string]uint64 `json:"counts"`
}

// secretJSON is one secret, without its text.
type secretJSON struct {
	Number      uint32    `json:"number"`
	CreatedAt   time.Time `json:"created_at"`
	EndsAt      time.Time `json:"ends_at,omitzero"`
	Grace       duration  `json:"grace,omitzero"`
	FirstUsedAt time.Time `json:"first_used_at,omitzero"`
	Works       bool      `json:"works"` // of the secret itself, regardless of the key's state
}

func (c *call) keyJSON(k *apikey.Key) keyJSON {
	v := keyJSON{
		ID: k.ID, Hint: c.h.hint(k), Name: k.Name, Owner: k.Owner, Environment: k.Environment,
		State: k.StateAt(c.now), Rotating: k.RotatingAt(c.now),
		Scopes: append([]string{}, k.Scopes...), Plan: k.Plan, Limits: limitsJSON(k.Limits), Networks: []string{},
		CreatedAt: k.CreatedAt, CreatedBy: k.CreatedBy, UpdatedAt: k.UpdatedAt, ExpiresAt: k.ExpiresAt,
		DisabledAt: k.DisabledAt, DisabledBy: k.DisabledBy, Locked: k.Locked,
		RevokedAt: k.RevokedAt, RevokedBy: k.RevokedBy, RevokeReason: k.RevokeReason,
		Revision: k.Revision,
	}
	for _, n := range k.Networks {
		v.Networks = append(v.Networks, n.String())
	}
	if c.actor.operator() {
		v.Metadata = map[string]string{}
		for name, value := range k.Metadata {
			v.Metadata[name] = value
		}
	}
	if v.State == apikey.Active {
		v.RotateBy = bounds.Clamp(k.Secrets[0].CreatedAt.Add(c.h.keys.MaxAge()))
	}
	for _, s := range k.Secrets {
		v.Secrets = append(v.Secrets, secretOf(&s, c.now))
	}
	return v
}

func secretOf(s *apikey.Secret, now time.Time) secretJSON {
	return secretJSON{
		Number: s.Number, CreatedAt: s.CreatedAt, EndsAt: s.EndsAt, Grace: duration(s.Grace),
		FirstUsedAt: s.FirstUsedAt, Works: s.LiveAt(now),
	}
}

func (c *call) keysJSON(keys []apikey.Key) []keyJSON {
	v := make([]keyJSON, len(keys))
	for i := range keys {
		v[i] = c.keyJSON(&keys[i])
	}
	return v
}

// key answers with a key and its ETag.
func (c *call) answerKey(k *apikey.Key) error {
	c.w.Header().Set("ETag", etag(k))
	return c.json(200, c.keyJSON(k))
}

// issued is the only answer that contains a secret.
type issued struct {
	// Token is the whole key. It cannot be retrieved again.
	Token string  `json:"token"`
	Key   keyJSON `json:"key"`
}

// counts maps the outcomes that occurred, by name, and their total.
func counts(c apikey.Counts) map[string]uint64 {
	v := map[string]uint64{"total": c.Total()}
	for name, n := range c.All() {
		if n > 0 {
			v[name] = n
		}
	}
	return v
}

type usageSecretJSON struct {
	Secret uint32            `json:"secret"`
	Counts map[string]uint64 `json:"counts"`
	Last   apikey.LastUse    `json:"last"`
}

func usageOf(u apikey.UsageSecret) usageSecretJSON {
	return usageSecretJSON{u.Secret, counts(u.Counts), u.Last}
}
