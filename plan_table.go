package latchkey

import (
	"context"

	"github.com/wontopos/latchkey/apikey"
)

// planTable is the PlanSource for [Options.Plans].
type planTable map[string]apikey.Plan

func (t planTable) Plan(_ context.Context, name string) (apikey.Plan, error) {
	p, ok := t[name]
	if !ok {
		return apikey.Plan{}, apikey.NotFound
	}
	return p, nil
}
