//go:build !linux

package main

import "errors"

func twoCores() (first, second int, ok bool) { return 0, 0, false }

func pin(int) (restore func(), err error) { return nil, errors.ErrUnsupported }
