package node_test

// The tests named TestCaseNN hold what a server for strangers has to stand. A "row" in their comments is a line here.
//
//	Hostile or broken clients
//	 1  malformed packets and messages, cut at any byte: that connection ends, its neighbours live
//	 2  repeated handshakes among pushes: no second writer
//	 3  every packet type in every state of a connection
//	 4  a panic in any callback of the application: costs that session or that call
//	 5  a client that does not read, or never finishes its handshake: gone within the deadline
//	 6  no descriptors left: accepting backs off, is logged at a bounded rate, and recovers
//	 7  every split of a stream gives the same messages, none of them late
//	 8  what cannot be encoded is an error of the sender's call
//	 9  WebSocket frames of any shape, wrong origins, bad certificates, TLS without WebSocket, pages
//	10  clients that speak as servers do, request id 0, requests after the end
//
//	Delivery
//	11  10,000 pushes, and 10,000 requests without waiting: all of them, in order, and heartbeats go on
//	12  what was pushed before a Close or Kick arrives before the end
//	13  answers that come later, in another order, bear their own requests' ids
//	14  a request that fails has one answer for a client that accepts errors, none for others
//	15  servertime is that of the handshake
//
//	Scheduler, and the life of a node
//	16  10,000 tasks from a handler; a scheduler that is busy for 5 s
//	17  two backends whose handlers call each other
//	18  timers: see package scheduler
//	19  starting and stopping 100 times, two nodes, Shutdown twice, a start that fails
//	20  SIGTERM with clients connected, hooks in order, the deadline
//	21  nothing is left of 10,000 connections, and OnClosed ran once for each
//	22  groups that change during a broadcast
//
//	Cluster
//	23  two gates with one node id
//	24  a backend that dies or hangs
//	25  a gate that dies or hangs
//	26  a broadcast is one frame a gate
//	27  nodes and masters that die, restart and pause: one view in the end
//	28  strangers and nonsense on the cluster's port
//	29  messages between nodes keep their order, over a reconnect too
