//go:build linux

package chaos

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/lonng/nano/test/internal/judge"
)

// grace is how long after an error was answered what it answered may still begin to run: a message
// that is at the handler just then is not called back.
const grace = 2 * time.Second

// ledger compares what the nodes tell with what the clients see.
type ledger struct {
	judge.Judge

	mu       sync.Mutex
	asked    map[string]*asked // requests, by "connection number", and calls between nodes, by their id
	sessions map[string]*seen  // of nodes, by number
	ran, ok  int
	failed   map[string]int // error answers, by code
}

// asked is one request, or one call.
type asked struct {
	ran     int64 // when its handler began; 0: it did not
	settled int64 // when its answer came; 0: none yet
	err     bool  // that was an error
}

// seen is one session of a node, its gate or a backend.
type seen struct {
	conn   string
	last   int64 // number of the last request
	closed bool
	dead   bool // its node was killed
}

func newLedger() *ledger {
	return &ledger{asked: make(map[string]*asked), sessions: make(map[string]*seen), failed: make(map[string]int)}
}

func (l *ledger) ofLocked(id string) *asked {
	a := l.asked[id]
	if a == nil {
		a = &asked{}
		l.asked[id] = a
	}
	return a
}

// hear takes a line of a node.
func (l *ledger) hear(line string) {
	word, rest, _ := strings.Cut(line, " ")
	l.mu.Lock()
	defer l.mu.Unlock()
	switch word {
	case "opened":
		number, conn, _ := strings.Cut(rest, " ")
		l.sessions[number] = &seen{conn: conn}
	case "closed":
		s := l.sessions[rest]
		if s == nil || s.closed {
			l.Fail("closed", "OnClosed of session %s ran twice, or for nobody", rest)
			return
		}
		s.closed = true
	case "ran":
		l.ranLocked(rest)
	case "called":
		f := strings.Fields(rest)
		if f[1] != "0" {
			l.Fail("identity", "call %s ran as user %s", f[0], f[1])
		}
		l.beganLocked(f[0], f[2])
	case "answered", "failed":
		f := strings.Fields(rest)
		at, _ := strconv.ParseInt(f[1], 10, 64)
		l.settleLocked(f[0], at, word == "failed")
	}
}

// ranLocked takes `session connection number uid "name" time`.
func (l *ledger) ranLocked(rest string) {
	f := strings.SplitN(rest, " ", 5)
	number, conn, uid := f[0], f[1], f[3]
	cut := strings.LastIndexByte(f[4], ' ')
	name, at := f[4][:cut], f[4][cut+1:]
	if uid != conn || name != strconv.Quote("player "+conn) {
		l.Fail("identity", "request %s of connection %s ran on %s as user %s, %s", f[2], conn, number, uid, name)
	}
	n, _ := strconv.ParseInt(f[2], 10, 64)
	s := l.sessions[number]
	switch {
	case s == nil || s.conn != conn:
		l.Fail("identity", "request %s of connection %s ran in session %s of another", f[2], conn, number)
	case s.closed:
		l.Fail("closed", "request %s of connection %s ran in session %s after OnClosed", f[2], conn, number)
	case n <= s.last:
		l.Fail("order", "request %d of connection %s ran after %d in session %s", n, conn, s.last, number)
	default:
		s.last = n
	}
	l.ran++
	l.beganLocked(conn+" "+f[2], at)
}

// beganLocked notes that a handler began.
func (l *ledger) beganLocked(id, at string) {
	a := l.ofLocked(id)
	if a.ran != 0 {
		l.Fail("doubled", "%s ran twice", id)
	}
	a.ran, _ = strconv.ParseInt(at, 10, 64)
	l.lateLocked(id, a)
}

// settleLocked notes that an answer came.
func (l *ledger) settleLocked(id string, at int64, failed bool) {
	a := l.ofLocked(id)
	if a.settled != 0 {
		l.Fail("doubled", "%s was answered twice", id)
	}
	a.settled, a.err = at, failed
	l.lateLocked(id, a)
}

// lateLocked finds what runs after it was answered with an error.
func (l *ledger) lateLocked(id string, a *asked) {
	if late := time.Duration(a.ran - a.settled); a.err && a.ran != 0 && late > grace {
		l.Fail("late", "%s ran %v after it was answered with an error", id, late.Round(time.Millisecond))
	}
}

// answered is told by a client.
func (l *ledger) answered(id string, code string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if code != "" {
		l.failed[code]++
	} else {
		l.ok++
	}
	l.settleLocked(id, time.Now().UnixNano(), code != "")
}

// killed notes that a run of a node has no more to say: its sessions end with it.
func (l *ledger) killed(name, run string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for number, s := range l.sessions {
		if strings.HasPrefix(number, name+"/"+run+"/") {
			s.dead = true
		}
	}
}

// open is how many sessions of living nodes are not closed, and one of them.
func (l *ledger) open() (n int, one string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for number, s := range l.sessions {
		if !s.closed && !s.dead {
			n++
			one = fmt.Sprintf("%s of connection %s", number, s.conn)
		}
	}
	return n, one
}

// close judges what can only be judged at the end.
func (l *ledger) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, a := range l.asked {
		if a.settled != 0 && !a.err && a.ran == 0 {
			l.Fail("answer", "%s was answered, and did not run", id)
		}
	}
}

// count is how many requests have run.
func (l *ledger) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ran
}
