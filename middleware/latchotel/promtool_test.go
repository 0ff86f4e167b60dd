package latchotel_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// promtool runs Prometheus's own tool, and fails the test with what it says.
func promtool(t *testing.T, arguments ...string) {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("missing component: promtool: apt-get install --no-install-recommends prometheus")
	}
	if out, err := exec.CommandContext(t.Context(), path, arguments...).CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(arguments, " "), err, out)
	}
}

// written writes YAML into a file of the test's.
func written(t *testing.T, content any) string {
	t.Helper()
	text, err := yaml.Marshal(content)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "rules.yml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

type object = map[string]any

const alertsFile = "../../docs/prometheus/alerts.yml"

// TestPrometheusTakesTheAlerts as they are.
func TestPrometheusTakesTheAlerts(t *testing.T) {
	t.Parallel()
	promtool(t, "check", "rules", "--lint=all", "--lint-fatal", alertsFile)
}

// TestPrometheusTakesTheQueriesOfTheDashboard: each is checked as a recording rule,
// with values for what Grafana fills in.
func TestPrometheusTakesTheQueriesOfTheDashboard(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/prometheus/dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct {
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(text, &dashboard); err != nil {
		t.Fatal(err)
	}
	grafana := strings.NewReplacer("$__rate_interval", "5m", "$job", "api")
	var rules []object
	for _, p := range dashboard.Panels {
		for _, q := range p.Targets {
			rules = append(rules, object{"record": fmt.Sprintf("query:%d", len(rules)), "expr": grafana.Replace(q.Expr)})
		}
	}
	promtool(t, "check", "rules", written(t, object{"groups": []object{{"name": "dashboard", "rules": rules}}}))
}

// TestAlertsFire: each of them on the metrics that it is for, with its labels, and
// none on those of a healthy instance.
func TestAlertsFire(t *testing.T) {
	t.Parallel()
	const instance, job = `instance="a",job="api"`, `job="api"`
	type sick struct {
		series []string // and its values, in turns
		at     string   // when the alert fires
		labels map[string]string
		slow   bool // a value is a minute, not 15 seconds: it looks back a day
	}
	ofInstance, ofJob := map[string]string{"instance": "a", "job": "api"}, map[string]string{"job": "api"}
	table := map[string]sick{
		"LatchkeyNotReady":    {series: []string{`latchkey_ready{` + instance + `}`, "0x20"}, at: "1m", labels: ofInstance},
		"LatchkeyLeaseOld":    {series: []string{`latchkey_lease_age_seconds{` + instance + `}`, "2.5x20"}, at: "1m", labels: ofInstance},
		"LatchkeyUnavailable": {series: []string{`latchkey_authentication_duration_seconds_count{result="unavailable",` + instance + `}`, "0+5x40"}, at: "5m", labels: ofJob},
		"LatchkeyRevocationSlow": {series: []string{
			`latchkey_revocation_delay_seconds_bucket{le="1",` + instance + `}`, "0x80", `latchkey_revocation_delay_seconds_bucket{le="5",` + instance + `}`, "0+5x80",
			`latchkey_revocation_delay_seconds_bucket{le="+Inf",` + instance + `}`, "0+5x80",
		}, at: "16m", labels: ofJob},
		"LatchkeyInstanceBehind":  {series: []string{`latchkey_feed_lag{` + instance + `}`, "3x20"}, at: "3m", labels: ofInstance},
		"LatchkeyNoPush":          {series: []string{`latchkey_feed_push{` + instance + `}`, "0x40"}, at: "6m", labels: ofInstance},
		"LatchkeyStoreRefuses":    {series: []string{`latchkey_store_refusing{` + instance + `}`, "1x20"}, at: "2m", labels: ofInstance},
		"LatchkeyLimiterDegraded": {series: []string{`latchkey_limiter_degraded{` + instance + `}`, "1x20"}, at: "2m", labels: ofInstance},
		"LatchkeyRequestsCut":     {series: []string{`latchkey_requests_cut_total{result="unavailable",` + instance + `}`, "0+1x40"}, at: "5m", labels: ofJob},
		"LatchkeyRefusalsRising": {
			series: []string{`latchkey_authentication_duration_seconds_count{result="revoked_key",` + instance + `}`, "0+1x1440 1440+1200x60"},
			at:     "24h40m", labels: map[string]string{"job": "api", "result": "revoked_key"}, slow: true,
		},
	}
	healthy := []string{
		`latchkey_ready{` + instance + `}`, "1x1600", `latchkey_lease_age_seconds{` + instance + `}`, "0.4x1600",
		`latchkey_authentication_duration_seconds_count{result="ok",` + instance + `}`, "0+9000x1600",
		`latchkey_authentication_duration_seconds_count{result="invalid_key",` + instance + `}`, "0+90x1600",
		`latchkey_revocation_delay_seconds_bucket{le="1",` + instance + `}`, "0+5x1600", `latchkey_revocation_delay_seconds_bucket{le="+Inf",` + instance + `}`, "0+5x1600",
		`latchkey_feed_lag{` + instance + `}`, "0x1600", `latchkey_feed_push{` + instance + `}`, "1x1600", `latchkey_store_refusing{` + instance + `}`, "0x1600",
		`latchkey_limiter_degraded{` + instance + `}`, "0x1600", `latchkey_requests_cut_total{result="revoked_key",` + instance + `}`, "0+1x1600",
	}

	var alerts struct {
		Groups []struct {
			Rules []struct {
				Alert               string
				Labels, Annotations map[string]string
			}
		}
	}
	text, err := os.ReadFile(alertsFile)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, &alerts); err != nil {
		t.Fatal(err)
	}
	input := func(series []string) (all []object) {
		for i := 0; i < len(series); i += 2 {
			all = append(all, object{"series": series[i], "values": series[i+1]})
		}
		return all
	}
	tests, silent := map[bool][]object{}, map[bool][]object{} // by slow
	interval, end := map[bool]string{false: "15s", true: "1m"}, map[bool]string{false: "20m", true: "24h40m"}
	for _, g := range alerts.Groups {
		for _, r := range g.Rules {
			s, ok := table[r.Alert]
			if !ok {
				t.Errorf("the alert %s has no metrics in this test", r.Alert)
				continue
			}
			labels := maps.Clone(s.labels)
			maps.Copy(labels, r.Labels)
			tests[s.slow] = append(tests[s.slow], object{"interval": interval[s.slow], "input_series": input(s.series), "alert_rule_test": []object{{
				"eval_time": s.at, "alertname": r.Alert, "exp_alerts": []object{{"exp_labels": labels, "exp_annotations": r.Annotations}},
			}}})
			silent[s.slow] = append(silent[s.slow], object{"eval_time": end[s.slow], "alertname": r.Alert, "exp_alerts": []object{}})
		}
	}
	rules, err := filepath.Abs(alertsFile)
	if err != nil {
		t.Fatal(err)
	}
	for slow, every := range map[bool]string{false: "15s", true: "5m"} {
		all := append(tests[slow], object{"interval": interval[slow], "input_series": input(healthy), "alert_rule_test": silent[slow]})
		promtool(t, "test", "rules", written(t, object{"rule_files": []string{rules}, "evaluation_interval": every, "tests": all}))
	}
}
