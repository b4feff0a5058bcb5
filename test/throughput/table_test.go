// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package throughput

import (
	"fmt"
	"slices"
	"text/tabwriter"
)

func median(of []float64) float64 {
	sorted := slices.Sorted(slices.Values(of))
	n := len(sorted)
	if n == 0 {
		return 0
	}
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// ratios compares what was measured in the same round.
func ratios(of, to []float64) []float64 {
	var out []float64
	for i := range min(len(of), len(to)) {
		out = append(out, of[i]/to[i])
	}
	return out
}

// spread is the median with the lowest and the highest.
func spread(format string, of []float64) string {
	return fmt.Sprintf(format+" ["+format+"-"+format+"]", median(of), slices.Min(of), slices.Max(of))
}

// ratio is the median of the ratios, round by round.
func ratio(of, to []float64) string { return fmt.Sprintf("%.2f", median(ratios(of, to))) }

// quantile of sorted values.
func quantile(sorted []float64, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

// verdict says whether a goal is met.
func verdict(met bool) string {
	if met {
		return "met"
	}
	return "NOT MET"
}

// printTable adds rows, the first of which is the head, to what is printed at the
// end, and notes below.
func printTable(title string, rows [][]string, notes ...string) {
	fmt.Fprintf(&tables, "\n%s\n", title)
	w := tabwriter.NewWriter(&tables, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		for i, cell := range row {
			if i > 0 {
				fmt.Fprint(w, "\t")
			}
			fmt.Fprint(w, cell)
		}
		fmt.Fprintln(w)
	}
	_ = w.Flush() // into memory
	for _, note := range notes {
		fmt.Fprintln(&tables, "  "+note)
	}
}

// by keeps measurements of contenders, round by round.
type by[T any] map[string][]T

func (m by[T]) of(contender string, number func(T) float64) []float64 {
	var out []float64
	for _, v := range m[contender] {
		out = append(out, number(v))
	}
	return out
}
