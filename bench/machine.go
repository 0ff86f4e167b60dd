package main

import (
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strings"
)

// versions returns the versions of all modules in this program.
func versions() map[string]string {
	v := map[string]string{}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	for _, m := range info.Deps {
		if m.Replace != nil && m.Replace.Version != "" {
			v[m.Path] = m.Replace.Version
		} else {
			v[m.Path] = m.Version
		}
	}
	return v
}

// commit names the source that was measured.
func commit() string {
	out, err := exec.Command("git", "describe", "--always", "--dirty").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

// processor names the CPU, where the system tells.
func processor() string {
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown"
	}
	for line := range strings.Lines(string(info)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}

// origin is where and with what a report was made.
type origin struct {
	Processor string `json:"processor"`
	Cores     int    `json:"cores"`
	OS        string `json:"os"`
	Arch      string `json:"arch"`
	Go        string `json:"go"`
	// MaxProcs is the default; each cell sets its own.
	MaxProcs   int    `json:"gomaxprocs"`
	GOGC       string `json:"gogc"`
	GOMEMLIMIT string `json:"gomemlimit"`
	Commit     string `json:"commit"`
	Command    string `json:"command"`
}

func newOrigin(args []string) origin {
	return origin{
		Processor: processor(), Cores: runtime.NumCPU(), OS: runtime.GOOS, Arch: runtime.GOARCH, Go: runtime.Version(),
		MaxProcs: runtime.GOMAXPROCS(0), GOGC: orDefault(os.Getenv("GOGC"), "100"), GOMEMLIMIT: orDefault(os.Getenv("GOMEMLIMIT"), "off"),
		Commit: commit(), Command: strings.TrimSpace("go run ./bench " + strings.Join(args, " ")),
	}
}
