//go:build unix && !linux

package main

import "syscall"

// Elsewhere an instance ends when its standard input does.
func endWithParent(*syscall.SysProcAttr) {}
