// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"slices"
	"testing"
	"time"
)

// BenchmarkScrape tells what one scrape of all members costs. The contenders take
// turns, so that a noisy neighbour hits all of them; medians count. The costs of
// a window of the same length without a contender are taken off.
func BenchmarkScrape(b *testing.B) {
	x := startCluster(b)
	costs := map[string][]cost{}
	var idle []usage
	for round := range *rounds {
		used, took, err := window(time.Duration(*scrapes)**interval, x.pids())
		if err != nil {
			b.Fatal(err)
		}
		perSecond := usage{}.minus(used, -1/took.Seconds())
		idle = append(idle, perSecond)
		order := slices.Clone(contenders)
		if round%2 == 1 {
			slices.Reverse(order)
		}
		for _, c := range order {
			costs[c.name] = append(costs[c.name], c.measure(b, x, perSecond))
		}
	}
	for i, c := range contenders {
		b.Run(c.name, func(b *testing.B) {
			report(b, costs[c.name], costs[prometheus])
			if i == len(contenders)-1 {
				b.Log(table(costs, idle)) // a benchmark with sub-benchmarks does not print its own log
			}
		})
	}
}

// quantity is one of the things that are counted, for one scrape.
type quantity struct {
	unit string
	of   func(cost) float64
}

var quantities = []quantity{
	{"cpu_us", func(c cost) float64 { return c.perScrape(float64(c.cpu.Microseconds())) }},
	{"etcd_cpu_us", func(c cost) float64 { return c.perScrape(float64(c.etcdCPU.Microseconds())) }},
	{"allocs", func(c cost) float64 { return c.perScrape(c.mallocs) }},
	{"B", func(c cost) float64 { return c.perScrape(c.bytes) }},
	{"data_points", func(c cost) float64 { return c.perScrape(c.points) }},
}

func report(b *testing.B, costs, reference []cost) {
	b.ReportMetric(0, "ns/op") // leaves it out: it would be the time of this function
	for _, q := range quantities {
		b.ReportMetric(median(q.all(costs)), q.unit+"/scrape")
		switch q.unit {
		case "cpu_us", "etcd_cpu_us":
			b.ReportMetric(median(ratios(q.all(costs), q.all(reference))), q.unit+"_vs_prometheus")
		case "allocs", "B": // what -benchmem prints, which would be 0
			b.ReportMetric(median(q.all(costs)), q.unit+"/op")
		}
	}
}

func (q quantity) all(costs []cost) []float64 {
	var out []float64
	for _, c := range costs {
		out = append(out, q.of(c))
	}
	return out
}

// ratios compares what was measured in the same round.
func ratios(of, to []float64) []float64 {
	var out []float64
	for i := range of {
		out = append(out, of[i]/to[i])
	}
	return out
}

func median(of []float64) float64 {
	sorted := slices.Sorted(slices.Values(of))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}
