package redistest

import (
	"os/exec"
	"syscall"
)

// endWithUs keeps signals to our group from the program, and ends it when this
// process ends, however that happens.
func endWithUs(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
