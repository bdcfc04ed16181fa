// Package service counts the connections of a node and hands out its session
// ids.
//
// A node holds one instance, made by [New] from its node id:
//
//	conns, err := service.New(nodeID)
//	...
//	id := conns.SessionID()
//
// Ids of different nodes never collide, since each bears its node's id in the
// top bits; and a node that was restarted under the same id does not repeat
// the ids of its former life, since it counts on from the clock.
//
// [Connections] and [ResetNodeId] are the names that programs written for v0.5
// know. They stand for a default instance.
//
// The package does not know sessions: who is connected, and as whom, is kept
// by the node.
package service
