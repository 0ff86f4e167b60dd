package tree_test

import (
	"log"
	"os"
	"testing"
)

// TestMain goes to the root of the tree, where all paths here start.
func TestMain(m *testing.M) {
	if err := os.Chdir("../.."); err != nil {
		log.Fatal(err)
	}
	os.Exit(m.Run())
}
