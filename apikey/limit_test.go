package apikey_test

import (
	"strings"
	"testing"
	"time"
	_ "time/tzdata"

	"github.com/wontopos/latchkey/apikey"
)

// TestSpansFollowEachOther walks through years of hours, days and months in zones
// that change their clocks by an hour, by half an hour and at midnight: each
// instant is in exactly one period, which begins when clocks say so.
func TestSpansFollowEachOther(t *testing.T) {
	for _, zone := range []string{"", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "America/Sao_Paulo", "Asia/Beirut", "Africa/Cairo", "Pacific/Apia"} {
		for _, period := range []apikey.Period{apikey.Hourly, apikey.Daily, apikey.Monthly} {
			l := apikey.Limit{Name: "q", N: 1, Period: period, Zone: zone}
			loc, err := time.LoadLocation(zone)
			if err != nil {
				t.Fatal(err)
			}
			at := time.Date(2011, 11, 1, 0, 0, 0, 0, time.UTC)
			if period == apikey.Hourly {
				at = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
			}
			last := at.AddDate(9, 0, 0)
			if period == apikey.Hourly {
				last = at.AddDate(0, 9, 0)
			}
			for at.Before(last) {
				from, end, err := l.Span(at)
				if err != nil {
					t.Fatal(err)
				}
				if at.Before(from) || !at.Before(end) {
					t.Fatalf("%s %s: %v is not in its period [%v, %v)", zone, period, at, from, end)
				}
				for _, inside := range []time.Time{from, from.Add(end.Sub(from) / 2), end.Add(-1)} {
					if f, e, _ := l.Span(inside); !f.Equal(from) || !e.Equal(end) {
						t.Fatalf("%s %s: %v is in [%v, %v), and %v in [%v, %v)", zone, period, at, from, end, inside, f, e)
					}
				}
				if m := from.In(loc).Minute(); m != 0 {
					t.Fatalf("%s %s: a period begins at %v", zone, period, from.In(loc))
				}
				at = end
			}
		}
	}
}

// TestTheLastDayOfALeapYearHasHours: also in years for which a zone has a rule
// instead of a table.
func TestTheLastDayOfALeapYearHasHours(t *testing.T) {
	at := time.Date(2040, 12, 31, 12, 30, 0, 0, time.UTC)
	for _, zone := range []string{"Europe/Berlin", "America/St_Johns", "Australia/Adelaide"} {
		from, end, err := apikey.Limit{Name: "q", N: 1, Period: apikey.Hourly, Zone: zone}.Span(at)
		if err != nil || from.After(at) || !at.Before(end) || end.Sub(from) != time.Hour {
			t.Errorf("%s: the hour of %v is [%v, %v): %v", zone, at, from, end, err)
		}
	}
}

func TestLimitsSayWhatIsWrong(t *testing.T) {
	good := apikey.Limit{Name: "month", N: 1_000_000_000_000_000, Period: apikey.Monthly, Zone: "Europe/Berlin", Unit: "tokens", Shadow: true}
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for field, l := range map[string]apikey.Limit{
		"Limit.Name":   {N: 1, Window: time.Second},
		"Limit.N":      {Name: "a", N: 1_000_000_001, Window: time.Second},
		"Limit.N ":     {Name: "a", N: 1_000_000_000_000_001, Period: apikey.Daily},
		"Limit.N  ":    {Name: "a", N: 1_001, Concurrent: true},
		"Limit.Window": {Name: "a", N: 1, Window: time.Millisecond},
		"Limit.Period": {Name: "a", N: 1, Period: "year"},
		"Limit.Zone":   {Name: "a", N: 1, Period: apikey.Daily, Zone: "Europe/Atlantis"},
		"Limit.Zone  ": {Name: "a", N: 1, Period: apikey.Daily, Zone: "Local"},
		"Limit.Zone ":  {Name: "a", N: 1, Window: time.Second, Zone: "Europe/Berlin"},
		"Limit.Unit":   {Name: "a", N: 1, Window: time.Second, Unit: "To Kens"},
		"Limit.Unit ":  {Name: "a", N: 1, Concurrent: true, Unit: "tokens"},
		"Limit":        {Name: "a", N: 1},
		"Limit ":       {Name: "a", N: 1, Window: time.Second, Concurrent: true},
	} {
		err := l.Validate()
		if err == nil || !strings.Contains(err.Error(), strings.TrimSpace(field)+":") {
			t.Errorf("%+v: %v, want an error about %s", l, err, strings.TrimSpace(field))
		}
	}
}
