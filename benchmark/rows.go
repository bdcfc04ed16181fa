//go:build linux

package main

import (
	"time"

	"github.com/lonng/nano/benchmark/internal/load"
)

// row is one line of the table: what clients do to a server, and which figure of it is shown.
type row struct {
	name   string
	unit   string
	figure string // of those that run returns
	more   bool   // the higher, the better
	alone  bool   // there is no floor for it, nor a cluster
	noPeer bool   // it needs what only this checkout has
	single bool   // of the floor, another thing is measured: each message by itself
	kind   string // how it is measured, see runs; "" for a load that is measured while it works

	scenario load.Scenario
	merge    time.Duration
}

// Units.
const (
	perRequest  = "µs CPU a request"
	perDelivery = "µs CPU a delivery"
	perConn     = "KiB RSS a connection"
)

// rows returns the table. What lasts for a time lasts d.
func rows(d time.Duration) []row {
	seconds := d.Seconds()
	echo := func(depth int, websocket bool, route string) load.Scenario {
		return load.Scenario{What: "echo", Clients: 50, Depth: depth, WebSocket: websocket, Route: route, Duration: d}
	}
	broadcast := func(websocket bool, rate float64, window int) load.Scenario {
		s := load.Scenario{What: "broadcast", Clients: 1000, WebSocket: websocket, Rate: rate, Window: window, Count: 200}
		if rate > 0 {
			s.Count = int(rate * seconds)
		}
		return s
	}
	quiet := func(websocket, warm bool) load.Scenario {
		return load.Scenario{What: "quiet", Clients: 9000, WebSocket: websocket, Warm: warm, Route: "Bench.Raw"}
	}
	merged := func(websocket bool) load.Scenario {
		return load.Scenario{
			What: "broadcast", Clients: 1000, WebSocket: websocket, Batch: websocket,
			Rate: 10, Burst: 10, Count: 10 * int(max(1, 10*seconds)),
		}
	}
	const delay = 10 * time.Millisecond
	return []row{
		{name: "echo raw tcp, 1 in flight", unit: perRequest, figure: "cpu", scenario: echo(1, false, "Bench.Raw")},
		{name: "echo raw tcp, 1 in flight, p50", unit: "µs", figure: "p50", scenario: echo(1, false, "Bench.Raw")},
		{name: "echo raw tcp, 8 in flight", unit: perRequest, figure: "cpu", scenario: echo(8, false, "Bench.Raw")},
		{name: "echo raw tcp, 8 in flight, allocations", unit: "a request", figure: "allocs", scenario: echo(8, false, "Bench.Raw")},
		{name: "echo raw ws, 8 in flight", unit: perRequest, figure: "cpu", scenario: echo(8, true, "Bench.Raw")},
		{name: "echo json tcp, 8 in flight", unit: perRequest, figure: "cpu", scenario: echo(8, false, "Bench.Echo")},
		{name: "broadcast tcp, 1,000 members, 50/s", unit: perDelivery, figure: "cpu", scenario: broadcast(false, 50, 0)},
		{name: "broadcast ws, 1,000 members, 50/s", unit: perDelivery, figure: "cpu", scenario: broadcast(true, 50, 0)},
		{name: "broadcast tcp, 1,000 members, full speed", unit: perDelivery, figure: "cpu", scenario: broadcast(false, 0, 0)},
		{name: "broadcast tcp, 1,000 members, full speed, rate", unit: "deliveries a second", figure: "rate", more: true, scenario: broadcast(false, 0, 0)},
		{name: "broadcast tcp, 1,000 members, one under way", unit: perDelivery, figure: "cpu", scenario: broadcast(false, 0, 1)},
		{name: "broadcast ws, 1,000 members, one under way", unit: perDelivery, figure: "cpu", scenario: broadcast(true, 0, 1)},
		{name: "merged broadcast tcp, 10 within 10 ms", unit: perDelivery, figure: "cpu", noPeer: true, single: true, merge: delay, scenario: merged(false)},
		{name: "merged broadcast ws, 10 within 10 ms", unit: perDelivery, figure: "cpu", noPeer: true, single: true, merge: delay, scenario: merged(true)},
		{
			name: "joins and leaves, 10,000 members, 20 broadcasts/s", unit: "a second", figure: "rate", more: true, alone: true,
			scenario: load.Scenario{What: "churn", Clients: 10_000, Rate: 20, Duration: d},
		},
		{
			name: "echo p99 beside 10 rooms of 1,000, 20 broadcasts/s each", unit: "times that without", figure: "slower", kind: "beside", alone: true,
			scenario: echo(1, false, "Bench.Raw"),
		},
		{name: "quiet tcp, 9,000 that said nothing", unit: perConn, figure: "memory", kind: "quiet", scenario: quiet(false, false)},
		{name: "quiet ws, 9,000 that said nothing", unit: perConn, figure: "memory", kind: "quiet", scenario: quiet(true, false)},
		{name: "quiet tcp, 9,000 that made a request", unit: perConn, figure: "memory", kind: "quiet", scenario: quiet(false, true)},
		{name: "quiet ws, 9,000 that made a request", unit: perConn, figure: "memory", kind: "quiet", scenario: quiet(true, true)},
		{
			name: "19,000 quiet tcp, heartbeats every 30 s", unit: "% of a core", figure: "busy", kind: "heartbeats", alone: true,
			scenario: load.Scenario{What: "quiet", Clients: 19_000},
		},
	}
}
