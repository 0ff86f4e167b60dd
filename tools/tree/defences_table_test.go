package tree_test

import "slices"

// defences lists what must not be taken out unnoticed. A row is written with the defence: it replaces the one
// place in file that reads old by new, which must still compile, and names the test that then fails.
//
// Keep old as short as is unique, and let new be the mistake that a hurried edit would make: a check dropped, a
// comparison turned, a lock left out. "make defences ROWS=regexp" tries the rows whose names match.
var defences = slices.Concat(toolDefences, apikeyDefences, limiterDefences, escrowDefences, storageDefences, pgstoreDefences, adminDefences, pageDefences, middlewareDefences, useDefences, historiesDefences)

var toolDefences = []defence{
	{
		name: "testsum: CI does not forgive a missing component",
		file: "tools/testsum/summary.go",
		old:  `if s.strict && s.missing > 0 {`,
		new:  `if s.strict && s.missing > 1 {`,
		pkg:  "./tools/testsum",
		run:  "^TestSummary$/^a_missing_component_fails_CI$",
	},
	{
		name: "testsum: a run without tests is no success",
		file: "tools/testsum/summary.go",
		old:  `if s.passed+s.failed == 0 {`,
		new:  `if s.passed+s.failed < 0 {`,
		pkg:  "./tools/testsum",
		run:  "^TestSummary$/^nothing_run_is_a_failure$",
	},
	{
		name: "testsum: a test that a panic took down has failed",
		file: "tools/testsum/summary.go",
		old:  `			t.action = "fail"`,
		new:  `			t.action = "pass"`,
		pkg:  "./tools/testsum",
		run:  "^TestSummary$/^a_test_that_never_ended_has_failed$",
	},
	{
		name: "testsum: a go command that dies silently has failed",
		file: "tools/testsum/summary.go",
		old:  `if e.Code != 0 && s.failed == s.seenFailed {`,
		new:  `if e.Code != 0 && s.failed > s.seenFailed {`,
		pkg:  "./tools/testsum",
		run:  "^TestSummary$/^a_go_command_that_dies",
	},
}
