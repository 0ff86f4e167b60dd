package main

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// release is what is to be released.
type release struct {
	version string
	modules []*module // the root first
}

// check returns the release of the last commit, or everything that is in its way.
func (t tree) check(version string) (*release, error) {
	var wrong []error
	fault := func(format string, args ...any) { wrong = append(wrong, fmt.Errorf("- "+format, args...)) }

	now, ok := parse(version)
	if !ok || now.major > 1 {
		return nil, fmt.Errorf("- a version is like v0.1.0 or v0.1.0-rc.1, and v2 would need other module paths")
	}
	if dirty, err := t.git("status", "--porcelain"); err != nil {
		return nil, err
	} else if dirty != "" {
		fault("the tree has changes that are not committed:\n%s", dirty)
	}
	changes, err := t.git("show", "HEAD:CHANGELOG.md")
	if err != nil {
		return nil, err
	}
	if err := checkChanges(changes, version); err != nil {
		fault("CHANGELOG.md %w", err)
	}
	r := &release{version: version}
	if r.modules, err = t.modules(); err != nil {
		return nil, err
	}
	taken, err := t.git("tag", "--list")
	if err != nil {
		return nil, err
	}
	tags := strings.Fields(taken)
	for _, tag := range tags {
		if then, ok := parse(tag); ok && then.compare(now) > 0 {
			fault("%s is older than %s", version, tag)
		}
	}
	for _, m := range r.published() {
		if slices.Contains(tags, m.tag(version)) {
			fault("there is a tag %s", m.tag(version))
		}
	}
	if _, err := t.git("rev-parse", "--verify", "--quiet", "refs/heads/"+r.branch()); err == nil {
		fault("there is a branch %s", r.branch())
	}
	work, err := t.git("show", "HEAD:go.work")
	if err != nil {
		return nil, err
	}
	for _, m := range r.modules {
		for _, f := range m.check(r, strings.Fields(work)) {
			fault("%s: %s", m.file(), f)
		}
	}
	return r, errors.Join(wrong...)
}

// check returns what is wrong with a module of a release.
func (m *module) check(r *release, work []string) (wrong []string) {
	want, use := root, "."
	if m.dir != "." {
		want, use = root+"/"+m.dir, "./"+m.dir
	}
	if m.path != want {
		wrong = append(wrong, "the module is "+m.path+", and is found as "+want)
	}
	if !slices.Contains(work, use) {
		wrong = append(wrong, "go.work does not use "+use)
	}
	for _, other := range m.requires {
		i := slices.IndexFunc(r.modules, func(o *module) bool { return o.path == other })
		switch {
		case i < 0:
			wrong = append(wrong, "there is no module "+other)
		case !slices.Contains(m.replaces, other):
			wrong = append(wrong, "it requires "+other+" and does not replace it by its folder")
		case m.published() && !r.modules[i].published():
			wrong = append(wrong, "it requires "+other+", which is not published")
		}
	}
	if m.published() {
		for _, other := range m.foreign {
			wrong = append(wrong, "it replaces "+other+", which users do not, and which go install refuses")
		}
	}
	return wrong
}

func (r *release) published() (all []*module) {
	for _, m := range r.modules {
		if m.published() {
			all = append(all, m)
		}
	}
	return all
}

func (r *release) branch() string { return "release-" + r.version }

var (
	section = regexp.MustCompile(`(?m)^## \[(.+?)\](.*)$`)
	dated   = regexp.MustCompile(`^ - \d{4}-\d{2}-\d{2}$`)
)

// checkChanges returns an error unless the newest version in a changelog is this
// one, with a date and a text, and nothing is left under Unreleased.
func checkChanges(text, version string) error {
	heads := section.FindAllStringSubmatchIndex(text, -1)
	body := func(i int) string {
		end := len(text)
		if i+1 < len(heads) {
			end = heads[i+1][0]
		}
		return strings.TrimSpace(text[heads[i][1]:end])
	}
	for i, h := range heads {
		name, rest := text[h[2]:h[3]], text[h[4]:h[5]]
		switch {
		case name == "Unreleased" && body(i) != "":
			return fmt.Errorf("has changes under Unreleased: move them to %s", strings.TrimPrefix(version, "v"))
		case name == "Unreleased":
			continue
		case "v"+name == version && dated.MatchString(rest) && body(i) != "":
			return nil
		}
		break
	}
	return fmt.Errorf("does not begin with a section %q that has a text", "## ["+strings.TrimPrefix(version, "v")+"] - YEAR-MONTH-DAY")
}

// semver is a version without build metadata.
type semver struct {
	major, minor, patch int
	pre                 []string
}

var semverForm = regexp.MustCompile(`^v(0|[1-9]\d{0,5})\.(0|[1-9]\d{0,5})\.(0|[1-9]\d{0,5})(?:-((?:0|[1-9]\d*|[a-z]+)(?:\.(?:0|[1-9]\d*|[a-z]+))*))?$`)

func parse(text string) (v semver, ok bool) {
	parts := semverForm.FindStringSubmatch(text)
	if parts == nil {
		return v, false
	}
	for i, n := range []*int{&v.major, &v.minor, &v.patch} {
		*n, _ = strconv.Atoi(parts[i+1])
	}
	if parts[4] != "" {
		v.pre = strings.Split(parts[4], ".")
	}
	return v, true
}

// compare orders versions as semver.org does.
func (v semver) compare(o semver) int {
	if c := cmp.Or(v.major-o.major, v.minor-o.minor, v.patch-o.patch); c != 0 || len(v.pre) == 0 || len(o.pre) == 0 {
		return cmp.Or(c, cmp.Compare(min(len(o.pre), 1), min(len(v.pre), 1))) // v1.0.0 comes after v1.0.0-rc.1
	}
	return slices.CompareFunc(v.pre, o.pre, func(a, b string) int {
		n, notA := strconv.Atoi(a)
		m, notB := strconv.Atoi(b)
		switch {
		case notA == nil && notB == nil:
			return n - m
		case notA == nil:
			return -1
		case notB == nil:
			return 1
		}
		return strings.Compare(a, b)
	})
}
