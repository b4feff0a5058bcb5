// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
)

// table shows medians, from the lowest to the highest, and the ratio to
// prometheusreceiver. At most 10 lines: the testing package cuts a longer log.
func table(costs map[string][]cost, idle []usage) string {
	var text strings.Builder
	fmt.Fprintf(&text, "one scrape of %d members, every %s; median [lowest-highest] x ratio to %s, of %d rounds of %d scrapes\n",
		size, *interval, prometheus, *rounds, *scrapes)
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	for _, q := range quantities {
		fmt.Fprintf(w, "\t%s", q.unit)
	}
	fmt.Fprintln(w)
	for _, c := range contenders {
		fmt.Fprint(w, c.name)
		for _, q := range quantities {
			all, reference := q.all(costs[c.name]), q.all(costs[prometheus])
			fmt.Fprintf(w, "\t%.0f [%.0f-%.0f] x%.2f", median(all), slices.Min(all), slices.Max(all), median(ratios(all, reference)))
		}
		fmt.Fprintln(w)
	}
	_ = w.Flush() // into memory
	var cpu, etcdCPU []float64
	for _, u := range idle {
		cpu = append(cpu, float64(u.cpu.Microseconds())*interval.Seconds())
		etcdCPU = append(etcdCPU, float64(u.etcdCPU.Microseconds())*interval.Seconds())
	}
	fmt.Fprintf(&text, "taken off, for %s without a scrape: cpu_us %.0f [%.0f-%.0f], etcd_cpu_us %.0f [%.0f-%.0f]", *interval,
		median(cpu), slices.Min(cpu), slices.Max(cpu), median(etcdCPU), slices.Min(etcdCPU), slices.Max(etcdCPU))
	return text.String()
}
