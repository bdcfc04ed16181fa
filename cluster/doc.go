// Package cluster is the node: it takes clients, runs components and ends in order.
//
// Most programs never name it: package nano makes a node of its options. It is public because
// programs written for v0.5 use its types in callbacks, and for those who want a node without the
// front door:
//
//	n := &cluster.Node{Options: cluster.Options{Components: comps, ClientAddr: addr}, ServiceAddr: addr}
//	if err := n.Startup(); err != nil { ... }
//	defer n.Shutdown()
//
// A node is a value: nothing that it needs is a package variable, and any number of nodes with
// different serializers, dictionaries and heartbeats run in one process. What an Options leaves
// empty is taken from the default instances of v0.5: scheduler.Default, session.Lifetime,
// service.Connections and http.DefaultServeMux.
package cluster
