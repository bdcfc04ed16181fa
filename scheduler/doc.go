// Package scheduler runs the code of a game one call at a time: handlers, tasks
// and timers take turns, so what they share needs no lock.
//
// A [Scheduler] is a queue, a loop and a heap of timers. Any goroutine may push tasks and make
// timers, a running task too: neither ever waits. A handler finds its scheduler in its context
// ([FromContext]).
//
// A node has one scheduler. A room or a component may have its own: make it with [New], end it
// with [Scheduler.Close], and wait for its end with [Scheduler.Wait]. The package functions
// ([PushTask], [NewTimer], [Sched], [Close]) use one default instance, which [Default] returns.
//
// A call that panics costs that call only: the scheduler reports and counts it, and goes on. The
// scheduler reports a call that takes too long while it is still running, with its name and its
// stack (see [WithSlow]).
//
// A call that needs an answer from elsewhere waits for it in [Scheduler.Await]; other calls run
// meanwhile.
//
// What this package does not do: it runs nothing in parallel, it has no priorities, it does not
// interrupt a call, and its timers do not survive [Scheduler.Close].
package scheduler
