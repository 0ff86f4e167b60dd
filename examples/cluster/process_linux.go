package main

import "syscall"

// endWithParent makes the system kill an instance when this process dies,
// however it dies: one that stands still would never notice.
func endWithParent(a *syscall.SysProcAttr) { a.Pdeathsig = syscall.SIGKILL }
