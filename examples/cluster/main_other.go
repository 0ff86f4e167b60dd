//go:build !unix

package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "cluster: it starts, stops and kills processes as unix does: run it there")
	os.Exit(1)
}
