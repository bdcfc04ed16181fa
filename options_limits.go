package nano

import "github.com/lonng/nano/cluster"

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
