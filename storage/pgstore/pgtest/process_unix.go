//go:build unix

package pgtest

import (
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"syscall"
)

// account is whom the server runs as.
type account = syscall.Credential

// unprivileged returns an account for the server, which refuses to be root.
func unprivileged() (*account, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err == nil && err2 == nil {
			return &account{Uid: uint32(uid), Gid: uint32(gid)}, nil
		}
	}
	return nil, fmt.Errorf("pgtest: a PostgreSQL server does not run as root, and there is no user postgres or nobody")
}

func runAs(cmd *exec.Cmd, user *account) { cmd.SysProcAttr = &syscall.SysProcAttr{Credential: user} }

// endWithUs keeps signals to our group from the program, and ends it when this process ends.
func endWithUs(cmd *exec.Cmd) {
	cmd.SysProcAttr.Setpgid = true
	endWithParent(cmd.SysProcAttr)
}
