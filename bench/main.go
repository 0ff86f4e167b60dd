package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// options are the flags.
type options struct {
	t      *testing.T
	suites []string
	cpus   []int
	keys   []int
	only   *regexp.Regexp
	plan   plan
	out    string
}

var suites = map[string]func(*options, *report) error{
	"peers":    peersSuite,
	"accuracy": accuracySuite,
	"micro":    microSuite,
	"adapters": adaptersSuite,
	"store":    storeSuite,
	"cold":     coldSuite,
	"memory":   memorySuite,
	"load":     loadSuite,
	"revoke":   revokeSuite,
	"page":     pageSuite,
	"shutdown": shutdownSuite,
	"flood":    floodSuite,
	"shared":   sharedSuite,
}

// main runs inside a test: only a test has the virtual time of testing/synctest,
// which the accuracy suite needs.
func main() {
	if yes, err := asked(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	} else if yes {
		return
	}
	testing.Init()
	_ = flag.CommandLine.Parse(nil) // the flags of package testing keep their defaults
	testing.Main(func(_, _ string) (bool, error) { return true, nil }, []testing.InternalTest{{
		Name: "bench", F: func(t *testing.T) {
			if err := runArgs(t, os.Args[1:], os.Stdout, os.Stderr); err != nil && !errors.Is(err, flag.ErrHelp) {
				fmt.Fprintln(os.Stderr, "bench:", err)
				os.Exit(1)
			}
			os.Exit(0)
		},
	}}, nil, nil)
}

func runArgs(t *testing.T, args []string, stdout, stderr io.Writer) error {
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(stderr)
	suite := f.String("suite", defaultSuites, "suites to run, comma-separated, or all")
	count := f.Int("count", 7, "rounds; in each, all contestants take turns")
	cpu := f.String("cpu", "1,2", "numbers of cores (GOMAXPROCS, and goroutines that send requests)")
	keys := f.String("keys", "1,10000", "numbers of keys; 1000000 needs 16 GiB of memory and some minutes")
	only := f.String("only", "", "run only the contestants whose names match this regular expression")
	benchtime := f.Duration("benchtime", 100*time.Millisecond, "length of one round of one contestant")
	out := f.String("out", "", "write <date>.md, .txt (for benchstat), .json and the charts into this folder, too")
	profile := f.String("profile", "", "write a CPU profile of each table into this folder; use it with -only, it slows all down")
	compare := f.Bool("compare", false, "compare two raw results: -compare old.txt new.txt")
	f.Usage = func() {
		fmt.Fprintln(stderr, "usage: go run ./bench [flags]\n\nFlags:")
		f.PrintDefaults()
		writeSuites(stderr)
	}
	if err := f.Parse(args); err != nil {
		return err
	}
	if *compare {
		if f.NArg() != 2 {
			return errors.New("-compare takes two files with raw results")
		}
		return compareFiles(stdout, f.Arg(0), f.Arg(1))
	}
	o := &options{t: t, out: *out, plan: plan{*count, *benchtime, *profile}}
	var err error
	if o.suites, err = chosenSuites(*suite); err != nil {
		return err
	}
	if o.cpus, err = numbers(*cpu); err != nil {
		return fmt.Errorf("-cpu: %w", err)
	}
	if o.keys, err = numbers(*keys); err != nil {
		return fmt.Errorf("-keys: %w", err)
	}
	if o.only, err = regexp.Compile(*only); err != nil {
		return fmt.Errorf("-only: %w", err)
	}
	if *count < 1 {
		return errors.New("-count must be at least 1")
	}
	r := newReport(stderr, args)
	r.suites = o.suites
	for _, name := range o.suites {
		if err := suites[name](o, r); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	r.judge()
	if _, err := io.WriteString(stdout, r.raw()+"\n"+r.markdown()); err != nil {
		return err
	}
	if o.out != "" {
		if err := r.save(o.out); err != nil {
			return err
		}
	}
	if r.missed != nil {
		return errors.New("goals missed:\n  " + strings.Join(r.missed, "\n  "))
	}
	return nil
}

// chosen returns the peers that -only names.
func (o *options) chosen(peers []peer) []peer {
	return slices.DeleteFunc(peers, func(p peer) bool { return !o.only.MatchString(p.name) })
}

func numbers(list string) (all []int, err error) {
	for field := range strings.SplitSeq(list, ",") {
		n, err := strconv.Atoi(field)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("%q is not a number from 1 on", field)
		}
		all = append(all, n)
	}
	return all, nil
}
