package main

import (
	"archive/tar"
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

// serve writes what a module proxy would answer for the tags of a release: a
// directory that GOPROXY may name.
func serve(t *testing.T, repo tree, r *release) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for _, m := range r.published() {
		tag := m.tag(r.version)
		at := filepath.Join(dir, filepath.FromSlash(m.path), "@v")
		write(t, filepath.Join(at, "list"), r.version+"\n")
		write(t, filepath.Join(at, r.version+".info"), fmt.Sprintf(`{"Version":%q,"Time":"2026-01-01T00:00:00Z"}`, r.version))
		write(t, filepath.Join(at, r.version+".mod"), git(t, repo, "show", tag+":"+m.file())+"\n")
		pack(t, repo, r, m, filepath.Join(at, r.version+".zip"))
	}
	return dir
}

// pack writes a module's zip: the files of its folder at its tag, without those of
// modules below.
func pack(t *testing.T, repo tree, r *release, m *module, name string) {
	t.Helper()
	out, err := os.Create(name)
	must(t, err)
	defer func() { must(t, out.Close()) }()
	z := zip.NewWriter(out)
	files := tar.NewReader(strings.NewReader(git(t, repo, "archive", "--format=tar", m.tag(r.version), m.dir)))
	for {
		h, err := files.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		must(t, err)
		if h.Typeflag != tar.TypeReg || owner(h.Name, r) != m {
			continue
		}
		f, err := z.Create(m.path + "@" + r.version + "/" + strings.TrimPrefix(h.Name, m.dir+"/"))
		must(t, err)
		_, err = io.Copy(f, files)
		must(t, err)
	}
	must(t, z.Close())
}

func owner(file string, r *release) (of *module) {
	for _, m := range r.modules {
		if m.dir == "." || strings.HasPrefix(file, m.dir+"/") {
			if of == nil || len(m.dir) >= len(of.dir) {
				of = m
			}
		}
	}
	return of
}

// stranger is a directory outside the tree, with a module cache of its own. What
// others published comes from this machine's cache, checked against the tree's
// go.sum files when it got there: no network, and no checksum database.
func stranger(t *testing.T, proxy string, dirs ...string) tree {
	t.Helper()
	for _, dir := range dirs {
		tool(t, tree{ctx: t.Context(), dir: filepath.Join("..", "..", dir)}, "list", "-deps", "./...") // downloads what is missing
	}
	at := tree{ctx: t.Context(), dir: t.TempDir()}
	cache := tool(t, at, "env", "GOMODCACHE")
	at.env = []string{
		"GOPROXY=file://" + proxy + ",file://" + path.Join(filepath.ToSlash(cache), "cache/download"), "GOSUMDB=off",
		"GOMODCACHE=" + t.TempDir(), "GOBIN=" + filepath.Join(at.dir, "bin"),
		"GOFLAGS=-mod=mod -modcacherw -trimpath", // removable, and compiled once for all runs
	}
	return at
}
