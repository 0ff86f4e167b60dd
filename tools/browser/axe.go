package browser

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
)

// The version of axe-core, and the digest of its package as the npm registry
// has it (dist.integrity). Both change together.
const (
	axeVersion   = "4.14.1"
	axeIntegrity = "FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ=="
)

// Axe returns the source of axe-core, which finds what keeps people with
// disabilities from using a page. The first call on a machine fetches it with
// npm, into the user's cache; later ones need no network. axe-core is under the
// MPL 2.0 and no part of this repository.
func Axe(ctx context.Context) (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir = filepath.Join(dir, "latchkey")
	file := filepath.Join(dir, "axe-core-"+axeVersion+".tgz")
	source, err := readAxe(file)
	if !errors.Is(err, os.ErrNotExist) {
		return source, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	scratch, err := os.MkdirTemp(dir, "npm-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(scratch)
	npm := exec.CommandContext(ctx, "npm", "pack", "--silent", "axe-core@"+axeVersion)
	npm.Dir = scratch
	if out, err := npm.CombinedOutput(); err != nil {
		return "", fmt.Errorf("npm pack: %w: %s", err, bytes.TrimSpace(out))
	}
	if err := os.Rename(filepath.Join(scratch, filepath.Base(file)), file); err != nil {
		return "", err
	}
	return readAxe(file)
}

// readAxe checks the package and takes the one file out of it.
func readAxe(file string) (string, error) {
	packed, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	if sum := sha512.Sum512(packed); base64.StdEncoding.EncodeToString(sum[:]) != axeIntegrity {
		return "", fmt.Errorf("%s is not the package that was pinned: remove it", file)
	}
	plain, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return "", err
	}
	for r := tar.NewReader(plain); ; {
		header, err := r.Next()
		if err != nil {
			return "", fmt.Errorf("no axe.min.js in %s: %w", file, err)
		}
		if header.Name == "package/axe.min.js" {
			source, err := io.ReadAll(r)
			return string(source), err
		}
	}
}
