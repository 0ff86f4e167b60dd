package admin

import (
	"time"

	"github.com/wontopos/latchkey/apikey"
)

// limit is a limit as the API shows it.
type limit struct {
	Name       string        `json:"name"`
	N          int64         `json:"n"`
	Window     duration      `json:"window,omitzero"`
	Period     apikey.Period `json:"period,omitempty"`
	Zone       string        `json:"zone,omitempty"`
	Concurrent bool          `json:"concurrent,omitempty"`
	Unit       string        `json:"unit,omitempty"`
	Shadow     bool          `json:"shadow,omitempty"`
}

func limitJSON(l apikey.Limit) limit {
	return limit{l.Name, l.N, duration(l.Window), l.Period, l.Zone, l.Concurrent, l.Unit, l.Shadow}
}

func limitsJSON(limits []apikey.Limit) []limit {
	v := []limit{}
	for _, l := range limits {
		v = append(v, limitJSON(l))
	}
	return v
}

// limitText formats a limit for people: "60 per minute", "5,000,000 tokens per
// calendar month (Europe/Berlin)", "2 at the same time".
func limitText(l apikey.Limit) string {
	text := grouped(uint64(l.N))
	if l.Unit != "" {
		text += " " + l.Unit
	}
	switch {
	case l.Concurrent:
		text += " at the same time"
	case l.Period == apikey.Ever:
		text += " in all"
	case l.Period != "":
		text += " per calendar " + string(l.Period)
		if l.Zone != "" {
			text += " (" + l.Zone + ")"
		}
	default:
		text += " per " + windowText(l.Window)
	}
	if l.Shadow {
		text += ", not enforced"
	}
	return text
}

// limitLines are the limits of a plan, one per line.
func limitLines(limits []apikey.Limit) []string {
	lines, daily := make([]string, 0, len(limits)+1), false
	for _, l := range limits {
		lines = append(lines, limitText(l))
		daily = daily || !l.Shadow && l.Unit == "" && (l.Window >= 24*time.Hour || l.Period != "" && l.Period != apikey.Hourly)
	}
	if !daily && len(limits) > 0 {
		lines = append(lines, "no daily limit")
	}
	return lines
}
