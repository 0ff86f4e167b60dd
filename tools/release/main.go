// Release checks whether the tree can be released, and makes the commits, the
// branch and the tags of a release of all its modules. It pushes nothing, touches
// no file, and without -apply makes nothing at all. RELEASE.md has the steps
// around it.
//
//	release [-apply] v0.1.0
//
// The branch has two commits. In the first, which the tags are on, published
// modules require this version of each other and replace nothing, so that
// programs can require them and "go install" can build their commands. The second
// puts replace back, so that the tree builds from itself again, and is what main
// continues from.
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	apply := flag.Bool("apply", false, "make the branch and the tags; without it, only say what they would be")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: release [-apply] v0.1.0")
		os.Exit(2)
	}
	if err := run(ctx, ".", flag.Arg(0), *apply, os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "%s cannot be released:\n%v\n", flag.Arg(0), err)
		os.Exit(1)
	}
}

// run releases the last commit of the repository at dir.
func run(ctx context.Context, dir, version string, apply bool, out io.Writer) error {
	t := tree{ctx, dir, nil}
	r, err := t.check(version)
	if err != nil {
		return err
	}
	if !apply {
		r.plan(out)
		return nil
	}
	if err := r.make(t); err != nil {
		return err
	}
	r.next(out)
	return nil
}

// tree is a repository.
type tree struct {
	ctx context.Context
	dir string
	env []string
}

// run returns what a command prints, without the last line break.
func (t tree) run(input []byte, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(t.ctx, name, args...)
	cmd.Dir, cmd.Env, cmd.Stdin = t.dir, append(append(os.Environ(), "GOWORK=off"), t.env...), bytes.NewReader(input)
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(errs.String()))
	}
	return strings.TrimSuffix(string(out), "\n"), nil
}

func (t tree) git(args ...string) (string, error) { return t.run(nil, "git", args...) }
