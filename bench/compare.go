package main

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
)

// compareFiles prints the medians of two raw results side by side. For
// confidence intervals use benchstat, which reads the same files. Times of
// different runs are only comparable on the same quiet machine.
func compareFiles(w io.Writer, oldName, newName string) error {
	before, err := readRaw(oldName)
	if err != nil {
		return err
	}
	after, err := readRaw(newName)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "| benchmark | old ns | new ns | new / old |\n|---|---:|---:|---:|\n")
	for _, name := range slices.Sorted(maps.Keys(after)) {
		if b, ok := before[name]; ok {
			fmt.Fprintf(w, "| %s | %.1f | %.1f | %.2f |\n", name, median(b), median(after[name]), median(after[name])/median(b))
		}
	}
	return nil
}

// readRaw returns the ns/op of each benchmark in a file.
func readRaw(name string) (map[string][]float64, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	found := map[string][]float64{}
	for lines := bufio.NewScanner(f); ; {
		if !lines.Scan() {
			if len(found) == 0 && lines.Err() == nil {
				return nil, fmt.Errorf("%s: no results in it", name)
			}
			return found, lines.Err()
		}
		fields := strings.Fields(lines.Text())
		if len(fields) < 4 || !strings.HasPrefix(fields[0], "Benchmark") || fields[3] != "ns/op" {
			continue
		}
		ns, err := strconv.ParseFloat(fields[2], 64)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		found[fields[0]] = append(found[fields[0]], ns)
	}
}
