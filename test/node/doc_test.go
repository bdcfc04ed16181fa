// Package node_test holds what a server for strangers has to stand, on one node:
//
//   - hostile_test.go: malformed packets and messages, cut at any byte, end that connection, and
//     its neighbours live. Every split of a stream gives the same messages, none of them late.
//     Clients speak as servers do, and use request id 0.
//   - phases_test.go: every packet type comes in every state of a connection, before the handshake
//     and after the end too. Repeated handshakes make no second writer.
//   - panic_test.go: a panic in any callback of the application costs that session or that call.
//   - deadlines_test.go: a client that does not read, or never finishes its handshake, is closed
//     within the deadline.
//   - accept_test.go: without free descriptors, accepting backs off, is logged at a bounded rate,
//     and recovers.
//   - websocket_test.go, pages_test.go: frames of any shape, foreign origins, bad certificates, TLS
//     without WebSocket, pages.
//   - delivery_test.go: 10,000 pushes, and 10,000 requests without waiting, arrive in order while
//     heartbeats go on. What was pushed before a Close or Kick arrives before the end. Late answers
//     reach their own requests.
//   - failed_requests_test.go: a request that fails has one answer for a client that accepts
//     errors, and none for others.
//   - resume_test.go, resume_refused_test.go, resume_proxy_test.go: clients that come back, with
//     and without a right to; a network that cuts and stalls all the time.
//   - flood_test.go, log_lines_test.go: clients that flood delay nobody and fill no log.
//   - scheduler_test.go: 10,000 tasks from a handler; a scheduler that is busy for 5 s. Timers are
//     tested in package scheduler.
//   - life_test.go, listen_test.go, shutdown_test.go: starting and stopping 100 times, two nodes,
//     Shutdown twice, a start that fails, hooks in order, the deadline; nothing is left of 10,000
//     connections, and OnClosed ran once for each.
//   - groups_test.go: groups of clients that come and go, and of two nodes.
//   - users_test.go: users who sign in twice.
//   - start_warnings_test.go: mistakes that a node tells at its start.
//   - v05_test.go: a program of v0.5 as it was.
package node_test
