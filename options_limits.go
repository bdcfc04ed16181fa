package nano

import "github.com/lonng/nano/cluster"

// The policies of limits.
const (
	LimitWait = cluster.LimitWait // it waits: the client is not read, or connections are not accepted
	LimitDrop = cluster.LimitDrop // it is dropped: a request is answered with resource_exhausted, a connection is closed
	LimitKick = cluster.LimitKick // the session is kicked with the reason "flood"
)

// WithMessageRate limits the requests and notifies of one session to perSecond, after burst at once. What is over it is
// counted in Stats().LimitedMessages and treated as p says. Neither number may be negative. Default, also for 0: no limit.
func WithMessageRate(perSecond float64, burst int, p cluster.LimitPolicy) Option {
	return func(o *cluster.Options) {
		o.Limits.Messages, o.Limits.MessageBurst, o.Limits.MessagePolicy = perSecond, burst, p
	}
}

// WithConnectionsPerAddress limits the connections of one IP address that are open at a time; of IPv6, those of one /64
// network. One more is closed and
// counted in Stats().LimitedAddresses. Behind a proxy the proxy has to be named ([WithTrustedProxies]), or all clients have its address. n
// must not be negative. Default, also for 0: no limit.
func WithConnectionsPerAddress(n int) Option {
	return func(o *cluster.Options) { o.Limits.PerAddress = n }
}

// WithAcceptRate limits the connections that the node accepts to perSecond, after burst at once. With [LimitWait] more are
// accepted later, with [LimitDrop] they are closed; both are counted in Stats().LimitedAccepts. Neither number may be negative. Default,
// also for 0: no limit.
func WithAcceptRate(perSecond float64, burst int, p cluster.LimitPolicy) Option {
	return func(o *cluster.Options) {
		o.Limits.Accepts, o.Limits.AcceptBurst, o.Limits.AcceptPolicy = perSecond, burst, p
	}
}

// WithConcurrentHandshakes limits the connections whose handshake is not finished. With [LimitWait] no more are accepted while
// there are n, with [LimitDrop] more are closed; both are counted in Stats().LimitedHandshakes. n must not be negative. Default, also for 0: no
// limit.
func WithConcurrentHandshakes(n int, p cluster.LimitPolicy) Option {
	return func(o *cluster.Options) { o.Limits.Handshakes, o.Limits.HandshakePolicy = n, p }
}

// WithSendQueues caps the bytes that are queued for all sessions together; queues of less than 64 KiB do not count. When it
// is exceeded, the sessions with the largest queues are cut, without flushing, until it is not; Stats().SlowKicked counts them. It must not be
// negative. Default, also for 0: 1 GiB.
func WithSendQueues(bytes int) Option {
	return func(o *cluster.Options) { o.SendQueues = bytes }
}

// WithSessionCalls sets how many handlers of one session may wait at a time: in a [Call], or in what else they give
// to [scheduler.Scheduler.Await]. While there are as many, the session's other messages stay in its queue, and once that is full its client is not
// read. So a client that floods a slow route costs no more goroutines than that. A handler that has returned does not count, whether or
// not it has answered. It holds on each scheduler, and on a backend as on a gate. It must not be negative. Default, also for 0: 256.
func WithSessionCalls(n int) Option {
	return func(o *cluster.Options) { o.SessionCalls = n }
}

// WithWaitingCalls sets how many handlers may wait on one scheduler of the node at a time, as for [WithSessionCalls], those of
// all sessions together. Beyond it a session that has a waiting handler starts no other, and one that has none
// starts one. Handlers that other nodes call, tasks and timers count, and are never held back. It must not be negative. Default, also for
// 0: 16,384.
func WithWaitingCalls(n int) Option {
	return func(o *cluster.Options) { o.WaitingCalls = n }
}
