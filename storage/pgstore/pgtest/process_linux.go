package pgtest

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// endWithParent makes the system shut the server down when this process dies,
// however it dies.
func endWithParent(a *syscall.SysProcAttr) { a.Pdeathsig = syscall.SIGQUIT }

// children lists the processes that a process has started.
func children(pid int) []*os.Process {
	list, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return nil
	}
	var all []*os.Process
	for number := range strings.FieldsSeq(string(list)) {
		if child, err := strconv.Atoi(number); err == nil {
			if p, err := os.FindProcess(child); err == nil {
				all = append(all, p)
			}
		}
	}
	return all
}

func alive(pid string) bool {
	_, err := os.Stat("/proc/" + pid)
	return err == nil
}
