package admin

import (
	"fmt"
	"html/template"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// when is a time for people: relative in the text, exact in the title.
type when struct {
	ISO, Exact, Text string
	Date             string // the day only
}

// past formats how long ago t was; the zero time is "never".
func past(t, now time.Time) when {
	if t.IsZero() {
		return when{Text: "never"}
	}
	return exact(t, ago(now.Sub(t), t))
}

// coming formats how long it is until t; the zero time is "never".
func coming(t, now time.Time) when {
	switch d := t.Sub(now); {
	case t.IsZero():
		return when{Text: "never"}
	case d <= 0:
		return exact(t, ago(-d, t))
	default:
		return exact(t, "in "+length(d+time.Minute)) // a day set a moment ago still reads as a day
	}
}

func exact(t time.Time, text string) when {
	t = t.UTC()
	return when{ISO: t.Format(time.RFC3339), Exact: t.Format("2 January 2006, 15:04:05 UTC"), Text: text, Date: t.Format("2 January 2006")}
}

func ago(d time.Duration, t time.Time) string {
	switch {
	case d < 10*time.Second:
		return "just now"
	case d < 30*24*time.Hour:
		return length(d) + " ago"
	}
	return t.UTC().Format("2 Jan 2006")
}

// length formats a duration in its largest unit.
func length(d time.Duration) string {
	for _, u := range []struct {
		unit time.Duration
		name string
	}{{24 * time.Hour, "day"}, {time.Hour, "hour"}, {time.Minute, "minute"}, {time.Second, "second"}} {
		if n := int(d / u.unit); n > 0 {
			return plural(n, u.name)
		}
	}
	return "a moment"
}

func plural(n int, name string) string {
	if n == 1 {
		return "1 " + name
	}
	return grouped(uint64(n)) + " " + name + "s"
}

// grouped writes 50000 as 50,000.
func grouped(n uint64) string { return groupedText(strconv.FormatUint(n, 10)) }

// groupedText does the same for a number given as text.
func groupedText(digits string) string {
	var b strings.Builder
	for i, digit := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(digit)
	}
	return b.String()
}

// windowText names a limit's window: "minute", "10 minutes", "day".
func windowText(d time.Duration) string {
	for _, u := range []struct {
		unit time.Duration
		name string
	}{{24 * time.Hour, "day"}, {time.Hour, "hour"}, {time.Minute, "minute"}, {time.Second, "second"}} {
		if n := d / u.unit; d%u.unit == 0 && n > 0 {
			if n == 1 {
				return u.name
			}
			return fmt.Sprintf("%d %ss", n, u.name)
		}
	}
	return d.String()
}

// templateFuncs are what the templates may call.
var templateFuncs = template.FuncMap{
	"grouped": grouped,
	"plural":  plural,
	"asked":   asked,
	"spoken":  spoken,
}

// spoken turns a message that is written for programs and logs, or one about a
// field, into a sentence.
func spoken(s string) string {
	for _, about := range []string{"is ", "may ", "must ", "looks "} {
		if strings.HasPrefix(s, about) {
			s = "This field " + s
			break
		}
	}
	first, n := utf8.DecodeRuneInString(s)
	if s = string(unicode.ToUpper(first)) + s[n:]; n > 0 && !strings.ContainsAny(s[len(s)-1:], ".?!…") {
		s += "."
	}
	return s
}
