package main

import (
	"encoding/json"
	"time"
)

// schema numbers the shape of the JSON. It rises when a member changes its
// meaning or goes; new members come without notice.
const schema = 1

// document is the whole report for programs. Times are nanoseconds.
type document struct {
	Schema int       `json:"schema"`
	At     time.Time `json:"at"`
	origin
	Suites        []string           `json:"suites"`
	Goals         []goalJSON         `json:"goals"`
	Cells         []cellJSON         `json:"cells"`
	Accuracy      []accuracyJSON     `json:"accuracy"`
	Distributions []distributionJSON `json:"distributions"`
	Tables        []tableJSON        `json:"tables"`
	Contestants   []contestantJSON   `json:"contestants"`
	Caveats       []string           `json:"caveats"`
}

type goalJSON struct {
	Figure   string `json:"figure"`
	Where    string `json:"where"`
	Measured string `json:"measured"`
	Goal     string `json:"goal"`
	Pass     bool   `json:"pass"`
}

// cellJSON is one table of a suite. Rounds are those of all its series: the
// samples with one index were measured side by side.
type cellJSON struct {
	Suite     string       `json:"suite"`
	Keys      int          `json:"keys"`
	Load      string       `json:"load"`
	CPUs      int          `json:"cpus"`
	Reference string       `json:"reference,omitempty"` // the contestant that ratios are of
	Series    []seriesJSON `json:"series"`
}

type seriesJSON struct {
	Contestant string       `json:"contestant"`
	MedianNS   float64      `json:"median_ns"`
	Ratio      float64      `json:"ratio,omitempty"` // median of the rounds' ratios to the reference
	Samples    []sampleJSON `json:"samples"`
}

type sampleJSON struct {
	Requests int     `json:"requests"`
	NS       float64 `json:"ns"`     // of a request: wall time / all requests
	Bytes    float64 `json:"bytes"`  // allocated by a request
	Allocs   float64 `json:"allocs"` // by a request
}

type accuracyJSON struct {
	Limiter string `json:"limiter"`
	Limit   int    `json:"limit"` // in a window of a minute
	Worst   int64  `json:"worst"` // most admitted in any window
	With    string `json:"with"`  // the arrivals of the worst window
	Least   int64  `json:"least"` // fewest in any window of a steady client at twice the limit
}

type distributionJSON struct {
	Title string     `json:"title"`
	Lines []lineJSON `json:"lines"`
}

type lineJSON struct {
	Contestant string      `json:"contestant"`
	Points     []pointJSON `json:"points"`
}

type pointJSON struct {
	Quantile float64 `json:"quantile"` // 1 is the slowest request
	NS       int64   `json:"ns"`
}

type tableJSON struct {
	Title   string     `json:"title"`
	Note    string     `json:"note,omitempty"`
	Columns []string   `json:"columns"`
	Rows    [][]string `json:"rows"`
}

type contestantJSON struct {
	Name    string `json:"name"`
	Module  string `json:"module,omitempty"`
	Version string `json:"version,omitempty"`
	Setup   string `json:"setup"`
	Job     string `json:"job"` // how much of the whole job it does
}

// json returns the document. Lists that are empty are [], not null.
func (r *report) json() (string, error) {
	d := document{
		Schema: schema, At: r.at.UTC().Truncate(time.Second), origin: r.origin, Suites: r.suites,
		Goals: []goalJSON{}, Cells: []cellJSON{}, Accuracy: []accuracyJSON{}, Distributions: []distributionJSON{},
		Tables: []tableJSON{}, Contestants: []contestantJSON{}, Caveats: caveats,
	}
	if d.Suites == nil {
		d.Suites = []string{}
	}
	for _, group := range r.goals() {
		for _, v := range group {
			d.Goals = append(d.Goals, goalJSON{v.figure, v.where, v.measured, v.goal, v.pass})
		}
	}
	for _, c := range r.cells() {
		d.Cells = append(d.Cells, r.cellJSON(c))
	}
	for _, a := range r.accuracy {
		d.Accuracy = append(d.Accuracy, accuracyJSON{a.name, accuracyLimit, a.worst, a.pattern, a.least})
	}
	for _, of := range r.distributions {
		j := distributionJSON{of.title, []lineJSON{}}
		for _, l := range of.lines {
			line := lineJSON{l.name, []pointJSON{}}
			for _, p := range l.points {
				line.Points = append(line.Points, pointJSON{p.quantile, p.latency.Nanoseconds()})
			}
			j.Lines = append(j.Lines, line)
		}
		d.Distributions = append(d.Distributions, j)
	}
	for _, t := range r.tables {
		j := tableJSON{t.title, t.note, t.columns, t.rows}
		if j.Rows == nil {
			j.Rows = [][]string{}
		}
		d.Tables = append(d.Tables, j)
	}
	v := versions()
	for _, p := range r.setups {
		d.Contestants = append(d.Contestants, contestantJSON{p.name, p.module, v[p.module], p.how, jobs[p.does]})
	}
	text, err := json.MarshalIndent(d, "", "  ")
	return string(text) + "\n", err
}

func (r *report) cellJSON(c cell) cellJSON {
	j := cellJSON{Suite: c.suite, Keys: c.keys, Load: c.load, CPUs: c.cpu}
	reference := r.reference(c)
	if reference != nil {
		j.Reference = reference.name
	}
	for _, s := range r.in(c) {
		line := seriesJSON{Contestant: s.name, MedianNS: median(s.column(nsOf)), Samples: []sampleJSON{}}
		if reference != nil {
			line.Ratio = median(ratios(s, reference))
		}
		for _, x := range s.samples {
			line.Samples = append(line.Samples, sampleJSON{x.n, x.ns, x.bytes, x.allocs})
		}
		j.Series = append(j.Series, line)
	}
	return j
}

// jobs says in words how much of the whole job a contestant does.
var jobs = map[job]string{
	verifyAndLimit: "verifies and limits", verifyOnly: "verifies only", limitOnly: "limits only", admitAll: "admits everybody",
}
