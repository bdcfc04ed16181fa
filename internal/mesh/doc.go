// Package mesh is what a node has for the sake of other nodes: the list of members, the ways to
// them, and what travels between them of sessions, users and calls. A node gives it a Config and
// what its clients and handlers are served with; it never imports package nano or package cluster.
package mesh
