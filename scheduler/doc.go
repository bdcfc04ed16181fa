// Package scheduler runs the code of a game one call at a time: handlers, tasks
// and timers take turns, so what they share needs no lock.
//
// A [Scheduler] is a queue, a loop and a heap of timers. Everything that may be
// called from many goroutines ([Scheduler.PushTask], [Scheduler.Submit],
// timers, [Scheduler.Stats], [Scheduler.Close]) may be called from a running
// task too, where none of it waits: a task that pushes ten thousand tasks is
// never what blocks itself. The exception is Submit, which is for those who
// read from clients. It waits while the queue is full, which is how pressure
// travels back to the network.
//
// A node has one scheduler; a room or a component may have its own, made with
// [New] and ended with [Scheduler.Close] at any time. The package functions
// ([PushTask], [NewTimer], [Sched], [Close]) work on one default instance,
// the one [Default] returns.
//
// A call that panics costs that call: it is reported and counted, and the loop
// goes on. A call that takes too long is reported while it is still running,
// with its name and its stack (see [WithSlow]).
//
// A call that needs an answer from elsewhere waits for it in [Scheduler.Await],
// and the others take their turns meanwhile.
//
// What this package does not do: it runs nothing in parallel, it has no
// priorities, it does not interrupt a call, and its timers do not survive
// [Scheduler.Close].
package scheduler
