package middleware

import "github.com/wontopos/latchkey/limiter"

// LimiterOf returns what decides the limits of a Guard.
func LimiterOf(g *Guard) limiter.Limiter { return g.limiter }
