package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestWhatAPlatformLacksIsFound(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":      "module example.com/wide\n\ngo 1.26\n",
		"wide.go":     "package wide\n\nimport \"syscall\"\n\nvar Kill = syscall.SIGTERM\n",
		"sum_unix.go": "//go:build unix\n\npackage wide\n\nconst unix = true\n",
		"wide_test.go": "package wide\n\nimport \"testing\"\n\nfunc TestWide(t *testing.T) {\n" +
			"\tif n := 1 << 40; !unix || n == 0 {\n\t\tt.Error()\n\t}\n}\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for platform, want := range map[string]string{"linux/amd64": "", "linux/arm": "overflows", "windows/amd64": "undefined: unix"} {
		err := check(platform, []string{dir})
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: got %v, want %q", platform, err, want)
		}
		if err != nil && strings.Count(err.Error(), "\n") > 0 {
			t.Errorf("%s: an error is told more than once:\n%v", platform, err)
		}
	}
}
