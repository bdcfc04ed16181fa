//go:build linux

package main

import (
	"os"
	"testing"
	"time"

	"github.com/lonng/nano/console"
)

// The test's binary is what is started as nodes and bots.
func TestMain(m *testing.M) {
	for _, arg := range os.Args[1:] {
		if arg == "-role" {
			main()
			return
		}
	}
	os.Exit(m.Run())
}

// Whoever looks at the console at night must be able to believe it: what it shows is what has
// happened. What it costs is measured by hand.
func TestConsoleShowsWhatBotsCount(t *testing.T) {
	if err := measure(options{bots: 30, rate: 20, phase: 100 * time.Millisecond, rounds: 1}); err != nil {
		t.Error(err)
	}
}

// A comparison that finds no difference is worth nothing.
func TestDifferences(t *testing.T) {
	tr := &trial{o: options{bots: 3}, gates: []string{"g:1", "g:2"}, each: []int{1, 2}}
	tr.nodes = append(tr.nodes, nil, nil)
	shown := func(change func(o *console.Overview)) *console.Overview {
		o := &console.Overview{Total: console.Point{Sessions: 3}, Nodes: make([]console.Node, 2), Routes: []console.Route{{Name: "Game.Move", Messages: 7}}}
		for i, n := range []int{1, 2} {
			o.Nodes[i].Clients, o.Nodes[i].Sessions = []string{tr.gates[i]}, n
		}
		change(o)
		return o
	}
	counted := counts{"Game.Move": 7}
	if err := tr.differs(shown(func(*console.Overview) {}), counted); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(o *console.Overview){
		"a node is missing":  func(o *console.Overview) { o.Nodes = o.Nodes[:1] },
		"too few sessions":   func(o *console.Overview) { o.Total.Sessions = 2 },
		"at the wrong gate":  func(o *console.Overview) { o.Nodes[0].Sessions, o.Nodes[1].Sessions = 2, 1 },
		"too many requests":  func(o *console.Overview) { o.Routes[0].Messages = 8 },
		"a request failed":   func(o *console.Overview) { o.Routes[0].Failed = 1 },
		"a route is missing": func(o *console.Overview) { o.Routes = nil },
	} {
		if tr.differs(shown(change), counted) == nil {
			t.Errorf("%s, and nothing is said", name)
		}
	}
}
