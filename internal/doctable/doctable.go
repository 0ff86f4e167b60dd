// Package doctable holds the pages for authors to the conformance suites: each
// sentence of a page names the cases that check it, and each case is named.
package doctable

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	quoted  = regexp.MustCompile("`([^`]+)`")
	command = regexp.MustCompile(`go test -run '\w+/([^']+)'`)
)

// Check compares the cases that a page names with those of a suite. A command of
// the page that runs a case has to find one.
func Check(t *testing.T, page string, suite []string) {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	for _, fault := range Faults(string(text), suite) {
		t.Errorf("%s %s", page, fault)
	}
}

// Faults says what is wrong with the text of a page.
func Faults(page string, suite []string) (all []string) {
	named := Cases(page)
	for _, c := range suite {
		if !slices.Contains(named, c) {
			all = append(all, fmt.Sprintf("has no sentence for the case %q", c))
		}
	}
	for _, c := range named {
		if !slices.Contains(suite, c) {
			all = append(all, fmt.Sprintf("names the case %q, which does not exist", c))
		}
	}
	for _, m := range command.FindAllStringSubmatch(page, -1) {
		finds := func(c string) bool { return strings.HasPrefix(strings.ReplaceAll(c, " ", "_"), m[1]) }
		if !slices.ContainsFunc(suite, finds) {
			all = append(all, fmt.Sprintf("has a command that runs no case: %s", m[0]))
		}
	}
	return all
}

// Cases returns what is quoted in the last column of each table in which that
// column is headed "case".
func Cases(page string) (all []string) {
	inTable, ofCases := false, false
	for line := range strings.Lines(page) {
		cells := strings.Split(strings.TrimSuffix(strings.TrimSpace(line), "|"), "|")
		last := strings.TrimSpace(cells[len(cells)-1])
		row := strings.HasPrefix(line, "|")
		if row && !inTable {
			ofCases = last == "case"
		}
		if inTable = row; row && ofCases {
			for _, m := range quoted.FindAllStringSubmatch(last, -1) {
				all = append(all, m[1])
			}
		}
	}
	return all
}
