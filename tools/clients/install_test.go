package clients_test

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"testing"
)

// installed returns a folder with the packages of ts/package-lock.json. The
// first call on a machine installs them, without their scripts, below the user's
// cache; later ones need no network.
func installed(t *testing.T) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	lock, err := os.ReadFile("ts/package-lock.json")
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(lock)
	dir := filepath.Join(cache, "latchkey", "npm-"+hex.EncodeToString(sum[:8]))
	if _, err := os.Stat(dir); err == nil {
		return dir
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	scratch, err := os.MkdirTemp(filepath.Dir(dir), "npm-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(scratch)
	for _, name := range []string{"package.json", "package-lock.json"} {
		raw, err := os.ReadFile(filepath.Join("ts", name))
		if err == nil {
			err = os.WriteFile(filepath.Join(scratch, name), raw, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	run(t, scratch, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent")
	if err := os.Rename(scratch, dir); err != nil {
		if _, there := os.Stat(dir); there != nil { // another run was first
			t.Fatal(err)
		}
	}
	return dir
}
