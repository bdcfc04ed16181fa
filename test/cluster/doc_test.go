// Package cluster_test holds what a cluster has to stand. All nodes run in one process on a network
// in memory (nanotest.Fabric) and a clock of their own, except in loopback_test.go.
//
//   - faults_test.go: a backend or a gate that dies or hangs, two gates with one node id; a
//     broadcast is one frame for each gate; messages keep their order, also over a reconnect.
//   - cut_test.go, reach_test.go, master_test.go: links that are cut, one-way, flapping or silent;
//     masters that die, restart and pause. All nodes have one view in the end.
//   - answers_test.go, errors_test.go, fail_test.go: each request has one outcome for its client.
//     Backends call each other without a deadlock.
//   - stop_test.go: nodes that stop answer what they were asked, and nothing is left on others.
//   - calls_test.go, notify_test.go, route_test.go, hash_test.go, nodes_only_test.go, wait_test.go:
//     calls between nodes, and which node serves a session.
//   - session_test.go, remote_test.go, values_test.go, kick_test.go, close_reason_test.go: the
//     session and its user are the same on every node.
//   - pressure_test.go, credit_test.go, payload_test.go: a client, a component or a link that is
//     full holds up nobody else.
//   - life_test.go, strangers_test.go, nonsense_test.go: start and stop; strangers and nonsense on
//     the service address.
//   - keeper_test.go, keeper_table_test.go: another engine keeps the member list.
//   - legacy_test.go, legacy_node_test.go, mixes_test.go, wire_test.go: nodes of v0.5 in the
//     same cluster.
package cluster_test
