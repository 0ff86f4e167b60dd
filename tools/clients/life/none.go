//go:build !generated

package main

import "fmt"

func main() { fmt.Println("the client is missing: run the test of the module above") }
