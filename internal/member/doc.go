// Package member is the member table of a cluster: which nodes there are, what each one runs, and
// which nodes have to be told of a change. It does no I/O, starts no goroutine and reads no clock.
// Events and the time are arguments, and the effects are returned.
//
// There are two state machines. [Master] keeps the list: it takes nodes in, leases node ids to
// them, drops silent nodes, and returns the calls to make. [Peers] is what every node, the master
// included, knows of the others: it returns when to open and close a link, when to unbind sticky
// routes to a node, and when its sessions are over. Its table answers which nodes run a service.
//
//	m, _ := member.NewMaster(self, member.Config{Interval: time.Second}, now)
//	admission, effects, err := m.Register(info, now) // and carry out effects
//	effects = m.Tick(now)                            // a few times an interval
//
// # How lists become equal
//
// Every change of the list is one step of its [Version]. A change is told at once, as a call that
// bears the step. A node applies a step that follows what it has, ignores one that it has, and
// fetches the whole [View] when one is missing. It also says in each heartbeat what it has, and the
// answer tells whether to fetch: a call that was lost is made good within one interval. A heartbeat
// carries all that there is to know of a node, so a master that was started again, or that had
// dropped a node, takes it in from its next heartbeat. As long as a master has not been there for
// as long as a silent node lives, its list may lack living nodes: such a view is not Settled, and
// adds members but removes none.
//
// Nodes of the 0.5 series (Epoch 0) know neither steps nor views. What they were told is
// remembered, and a call that failed is repeated after their next heartbeat, with a removal before
// each addition, because they list a member twice that they are told twice. Only what they have
// learned from an earlier master, and no living node confirms, stays with them until they register
// again.
//
// The package makes no calls, keeps nothing on disk, and does not choose among the members that run
// a service.
package member
