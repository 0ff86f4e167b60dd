package apikey

import "context"

// planTable is the PlanSource for [Options.Plans].
type planTable map[string]Plan

func (t planTable) Plan(_ context.Context, name string) (Plan, error) {
	p, ok := t[name]
	if !ok {
		return Plan{}, ErrUnknownPlan
	}
	return p, nil
}

// topicPlans says that plans have changed: see [Service.RefreshPlans].
const topicPlans = "plans"
