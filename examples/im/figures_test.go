//go:build unix

package main

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/lonng/nano/examples/im/load"
	"github.com/lonng/nano/examples/im/store/postgrestest"
)

// BenchmarkTwoLogicNodes measures acknowledged messages of 1,000 people in 100 groups, with
// PostgreSQL, two nodes that run channels and two gates, each a process of its own: as fast as they
// are acknowledged, and at 5,000 a second.
func BenchmarkTwoLogicNodes(b *testing.B) {
	for _, rate := range []float64{0, 5000} {
		b.Run(fmt.Sprint("rate=", rate), func(b *testing.B) {
			server, err := postgrestest.Start(b.Context())
			if errors.Is(err, postgrestest.ErrMissing) {
				b.Skip(err)
			}
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(server.Stop)
			w := startProcesses(b, "--database", server.URL)
			r, err := load.Run(b.Context(), load.Config{URLs: w.urls, APIKey: "secret", People: 1000, Groups: 100, Rate: rate, For: 15 * time.Second, Check: true}, func(string) {})
			if err != nil {
				b.Fatal(err)
			}
			if len(r.Faults) > 0 {
				b.Errorf("%v", r)
			}
			b.ReportMetric(r.PerSecond, "msgs/s")
			b.ReportMetric(float64(r.P50.Milliseconds()), "p50-ms")
			b.ReportMetric(float64(r.P99.Milliseconds()), "p99-ms")
			b.ReportMetric(float64(r.Cost.Microseconds()), "gates-us/msg")
		})
	}
}
