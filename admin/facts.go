package admin

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wontopos/latchkey/apikey"
)

// fact is a detail of a change, in words.
type fact struct{ Name, Text string }

// facts puts the details of an audit entry into words, in the order of their
// names. The trail itself, and every export of it, keeps them as they were
// written. Empty details are left out.
func facts(details map[string]string) (all []fact) {
	for _, name := range slices.Sorted(maps.Keys(details)) {
		value := details[name]
		if value == "" {
			continue
		}
		switch name {
		case "name": // free text
		case "scopes", "networks", "plan", "limits", "expires_at", "old_secret_ends", "pepper":
			before, after, changed := strings.Cut(value, " -> ")
			if value = inWords(name, before); changed {
				value += " → " + inWords(name, after)
			}
		default:
			value = inWords(name, value)
		}
		all = append(all, fact{strings.ReplaceAll(name, "_", " "), value})
	}
	return all
}

var (
	durationText = regexp.MustCompile(`\b\d+(?:\.\d+)?(?:ms|µs|ns|h|m|s)(?:\d+(?:\.\d+)?(?:ms|µs|ns|h|m|s))*\b`)
	limitDetail  = regexp.MustCompile(`^[a-z0-9_-]+=(\d+)(?:\*([a-z0-9_-]+))?/([^(]+?)(\(shadow\))?$`)
)

// inWords formats one value of a detail for people: times and durations are
// written out.
func inWords(name, value string) string {
	switch name {
	case "scopes", "networks", "limits":
		if value == "" {
			return map[string]string{"scopes": "none", "networks": "any", "limits": "the plan's"}[name]
		}
	}
	switch name {
	case "limits":
		var all []string
		for word := range strings.FieldsSeq(value) {
			all = append(all, limitInWords(word))
		}
		return strings.Join(all, ", ")
	case "scopes", "networks", "plan":
		return value
	}
	if t, err := time.Parse(time.RFC3339, value); err == nil {
		return t.UTC().Format("2 January 2006, 15:04 UTC")
	}
	return durationText.ReplaceAllStringFunc(value, func(text string) string {
		if d, err := time.ParseDuration(text); err == nil {
			return exactLength(d)
		}
		return text
	})
}

// limitInWords formats a limit as an audit entry has it.
func limitInWords(word string) string {
	m := limitDetail.FindStringSubmatch(word)
	if m == nil {
		return word
	}
	l := apikey.Limit{Unit: m[2], Concurrent: m[3] == "concurrent", Shadow: m[4] != ""}
	l.N, _ = strconv.ParseInt(m[1], 10, 64)
	var err error
	if l.Window, err = time.ParseDuration(m[3]); err != nil {
		period, zone, _ := strings.Cut(m[3], "@")
		l.Period, l.Zone = apikey.Period(period), zone
	}
	return limitText(l)
}

// exactLength formats a duration in its two largest units, "2 days 3 hours".
func exactLength(d time.Duration) string {
	first := length(d)
	for _, unit := range []time.Duration{24 * time.Hour, time.Hour, time.Minute, time.Second} {
		if d >= unit {
			if rest := d % unit; rest >= time.Second {
				return first + " " + length(rest)
			}
			break
		}
	}
	return first
}
