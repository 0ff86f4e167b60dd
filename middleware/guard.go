package middleware

import (
	"context"
	"fmt"
	"sync"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/internal/engine"
	"github.com/wontopos/latchkey/limiter"
	"github.com/wontopos/latchkey/storage"
)

// Guard decides requests by their API keys. Make one with [New] for each
// service and share it: all methods may be called concurrently.
type Guard struct {
	keys    *latchkey.Service
	engine  *engine.Engine // of keys
	o       Options
	limiter limiter.Limiter
	window  *limiter.Window // limiter, if it is one: it answers without copies
	settler limiter.Settler // limiter, if it is one: it can give back, and free slots
	own     *limiter.Window // the limiter that New made; nil when it was given one

	prefix     string // with which every key of the service begins
	challenges challenges
	problems   [apikey.Unavailable + 1]problem // by code
	owners     *owners                         // nil: owners have no limits
	pockets    sync.Pool                       // of *pocket
	demands    sync.Pool                       // of *demands
	complaint  complaint
	unknown    unknownHost
	hidden     sync.Once // a writer that cannot be unwrapped was logged
	again      sync.Once // that another Guard had decided a request was logged
	unsettled  sync.Once // that the limiter cannot give back was logged
	tells      bool      // hooks may ask an Outcome for the client's address
	vary       string    // the header fields in which keys come
	slots      bool      // the slots that the service's keys carry belong to window
}

// New returns a Guard for a service. A mistake in the options is an error that
// names the field. Close the Guard after the HTTP server has shut down and
// before the store is closed.
func New(keys *latchkey.Service, o Options) (*Guard, error) {
	if keys == nil {
		return nil, invalidf("keys", "is nil: make a service with latchkey.New")
	}
	if err := o.prepare(); err != nil {
		return nil, err
	}
	g := &Guard{keys: keys, engine: engine.Of(keys), o: o, limiter: o.Limiter, prefix: keys.Prefix() + "_", challenges: newChallenges(o.Realm, o.Extractors)}
	g.tells = o.OnDecision != nil || o.OnCut != nil
	g.vary = fieldsOf(o.Extractors)
	g.prepareProblems()
	g.pockets.New = func() any { return new(pocket) }
	g.demands.New = func() any { return new(demands) }
	if g.limiter == nil {
		journal, _ := storage.As[limiter.Journal](keys.Store())
		own, err := limiter.New(limiter.Options{Journal: journal, Logger: o.Logger})
		if err != nil {
			return nil, fmt.Errorf("middleware: %w", err)
		}
		g.own, g.limiter = own, own
	}
	if o.OwnerPlans != nil || len(o.OwnerLimits) > 0 {
		g.owners = &owners{limits: o.OwnerLimits}
	}
	if o.OwnerPlans != nil {
		g.owners.source = g.engine.PatientPlans(o.OwnerPlans, "Options.OwnerPlans")
	}
	g.settler, _ = g.limiter.(limiter.Settler)
	if g.window, _ = g.limiter.(*limiter.Window); g.window != nil {
		g.slots = g.engine.Attach()
	}
	return g, nil
}

// Close closes the limiter if New made it, so that its counts are written to
// the store. A limiter given in [Options] is left open. Later requests are
// answered as [Options.FailOpen] says.
func (g *Guard) Close(ctx context.Context) error {
	if g.own == nil {
		return nil
	}
	return g.own.Close(ctx)
}

// Keys returns the service.
func (g *Guard) Keys() *latchkey.Service { return g.keys }

func invalidf(field, format string, args ...any) error {
	return &apikey.Error{Code: apikey.InvalidArgument, Field: field, Msg: fmt.Sprintf(format, args...)}
}
