package dispatch

import "sync/atomic"

// Answers is the message that a session's handler works on, and whether that has its answer. An
// entity embeds it, and has most of [Entity] and [Answerer] by that. Its methods are safe for
// concurrent use; the zero value works on no message.
type Answers struct {
	mid      atomic.Uint64 // 0: a notify, or nothing
	answered atomic.Uint64 // mid, once it has its answer
}

// Enter says which message the next handler works on. Clients may use an id again.
func (a *Answers) Enter(mid uint64) {
	a.mid.Store(mid)
	a.answered.Store(0)
}

// Return undoes what Enter has done since Answered was asked.
func (a *Answers) Return(mid, answered uint64) {
	a.mid.Store(mid)
	a.answered.Store(answered)
}

// LastMid returns the id of the request whose handler runs, or 0 for a notify.
func (a *Answers) LastMid() uint64 { return a.mid.Load() }

// Answered returns the id of the request that was answered while its handler runs; 0 if it was not.
func (a *Answers) Answered() uint64 { return a.answered.Load() }

// NoteAnswer notes that request mid was answered. Only of the request whose handler runs it has to
// be known: its handler may return an error, too.
func (a *Answers) NoteAnswer(mid uint64) {
	if mid == a.mid.Load() {
		a.answered.Store(mid)
	}
}

// TakeAnswer reports whether request mid may be answered with an error, and notes that it is: not
// if its handler has answered it, or is failing it just now.
func (a *Answers) TakeAnswer(mid uint64) bool {
	if mid == 0 || a.answered.Load() == mid {
		return false
	}
	return mid != a.mid.Load() || a.answered.Swap(mid) != mid
}
