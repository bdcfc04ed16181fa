package session

// BindPolicy says what happens when a session is bound to a user that another session has.
// nano.WithBindPolicy sets it for a node; the default is BindKeepBoth.
type BindPolicy int

// The policies of Bind.
const (
	BindKeepBoth  BindPolicy = iota // both sessions stay, as in v0.5
	BindKickOld                     // the old session is kicked with the reason "signed in elsewhere"
	BindRefuseNew                   // the new session's Bind returns ErrUIDTaken
)

// SlowPolicy says what happens to a session whose send queue is full because its client does not
// read. nano.WithSlowConsumer sets it for a node; the default is SlowKick.
type SlowPolicy int

// The policies for slow consumers.
const (
	SlowKick SlowPolicy = iota // the session is kicked with the reason "slow consumer"
	SlowDrop                   // what does not fit is dropped and counted; Push returns cluster.ErrBufferExceed
)
