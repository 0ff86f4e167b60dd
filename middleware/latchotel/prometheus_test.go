package latchotel_test

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// prometheus returns the names that a metric has in Prometheus.
func prometheus(name string) (all []string) {
	base := strings.ReplaceAll(name, ".", "_")
	switch name {
	case "latchkey.authentication.duration", "latchkey.revocation.delay":
		return []string{base + "_seconds_bucket", base + "_seconds_count", base + "_seconds_sum"}
	case "latchkey.rate_limiting.requests", "latchkey.requests.cut", "latchkey.cache.loads":
		return []string{base + "_total"}
	}
	if units[name].unit == "s" {
		base += "_seconds"
	}
	return []string{base}
}

// TestPrometheusFilesNameRealMetrics: the alerts and the dashboard ask for metrics and labels that there are, and the
// dashboard shows every metric.
func TestPrometheusFilesNameRealMetrics(t *testing.T) {
	t.Parallel()
	known := map[string]string{}
	for name := range units {
		for _, p := range prometheus(name) {
			known[p] = name
		}
	}
	labels := map[string]bool{"result": true, "policy": true, "http_route": true, "job": true, "instance": true, "le": true}
	metric, grouped, matched := regexp.MustCompile(`latchkey_\w+`), regexp.MustCompile(`by \(([^)]*)\)`), regexp.MustCompile(`(\w+)(?:=~|!~|!=|=)"`)
	check := func(where string, expressions []string) map[string]bool {
		seen := map[string]bool{}
		if len(expressions) == 0 {
			t.Errorf("%s asks for nothing", where)
		}
		for _, e := range expressions {
			found := metric.FindAllString(e, -1)
			if len(found) == 0 {
				t.Errorf("%s: %q names no metric", where, e)
			}
			for _, m := range found {
				if known[m] == "" {
					t.Errorf("%s: %q names %s, which latchotel does not make", where, e, m)
				}
				seen[known[m]] = true
			}
			var used []string
			for _, by := range grouped.FindAllStringSubmatch(e, -1) {
				used = append(used, strings.Split(by[1], ", ")...)
			}
			for _, m := range matched.FindAllStringSubmatch(e, -1) {
				used = append(used, m[1])
			}
			for _, l := range used {
				if !labels[l] {
					t.Errorf("%s: %q uses the label %q, which no metric has", where, e, l)
				}
			}
		}
		return seen
	}

	var alerts struct {
		Groups []struct {
			Name  string
			Rules []struct {
				Alert, Expr, For    string
				Labels, Annotations map[string]string
			}
		}
	}
	file, err := os.Open("../../docs/prometheus/alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	decoder := yaml.NewDecoder(file)
	decoder.KnownFields(true)
	if err := decoder.Decode(&alerts); err != nil {
		t.Fatal(err)
	}
	var expressions []string
	for _, g := range alerts.Groups {
		for _, r := range g.Rules {
			if r.Alert == "" || r.Labels["severity"] == "" || r.Annotations["summary"] == "" {
				t.Errorf("an alert has a name, a severity and a summary: %+v", r)
			}
			expressions = append(expressions, r.Expr)
		}
	}
	check("alerts.yml", expressions)

	var dashboard struct {
		Panels []struct {
			ID      int
			Title   string
			Targets []struct{ Expr string }
		}
	}
	text, err := os.ReadFile("../../docs/prometheus/dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &dashboard); err != nil {
		t.Fatal(err)
	}
	expressions = nil
	for _, p := range dashboard.Panels {
		for _, target := range p.Targets {
			expressions = append(expressions, target.Expr)
		}
	}
	shown := check("dashboard.json", expressions)
	for name := range units {
		if !shown[name] {
			t.Errorf("dashboard.json does not show %s", name)
		}
	}
}
