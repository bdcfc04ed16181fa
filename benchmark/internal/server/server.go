// Package server is the application that a benchmark measures. It uses nothing but what v0.5's API
// has, apart from the file this.go, so that the same program runs on another checkout of that API:
// see package peer.
package server

import (
	"flag"
	"net/http"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/serialize/json"
	"github.com/lonng/nano/session"
)

// Config says what a server process is.
type Config struct {
	Role      string // single, master, backend or gate
	Master    string // address of the master, for backend and gate
	WebSocket bool
	Transport string        // portable, loop, or empty for the default
	Merge     time.Duration // how long pushes wait for others
}

// Flags adds a flag for each field.
func (c *Config) Flags(f *flag.FlagSet) {
	f.StringVar(&c.Role, "node", "single", "what the server is: single, master, backend or gate")
	f.StringVar(&c.Master, "master", "", "address of the master, for backend and gate")
	f.BoolVar(&c.WebSocket, "ws", false, "clients come by WebSocket")
	f.StringVar(&c.Transport, "transport", "", "how it reads and writes: portable, loop, or empty for the default")
	f.DurationVar(&c.Merge, "merge", 0, "how long pushes wait for others")
}

// Args returns the flags that give c.
func (c *Config) Args() []string {
	args := []string{"-node", c.Role, "-master", c.Master, "-transport", c.Transport, "-merge", c.Merge.String()}
	if c.WebSocket {
		args = append(args, "-ws")
	}
	return args
}

// Message is what clients send and get.
type Message struct {
	N    int64  `json:"n"`
	Body string `json:"body,omitempty"`
}

// Gate exists so that a node without the bench has a service.
type Gate struct{ component.Base }

// Hello answers.
func (*Gate) Hello(s *session.Session, _ []byte) error { return s.Response(&Message{}) }

// Bench is what the clients ask for.
type Bench struct {
	component.Base
	all     *nano.Group
	members []*session.Session // of all
	rooms   map[int64]*nano.Group
}

func newBench() *Bench {
	return &Bench{all: nano.NewGroup("all"), rooms: make(map[int64]*nano.Group)}
}

// Raw answers with the payload.
func (*Bench) Raw(s *session.Session, data []byte) error { return s.Response(data) }

// Echo answers with the message, decoded and encoded.
func (*Bench) Echo(s *session.Session, m *Message) error { return s.Response(m) }

// Join adds the client to the group of all.
func (b *Bench) Join(s *session.Session, m *Message) error {
	if err := b.all.Add(s); err != nil {
		return err
	}
	b.members = append(b.members, s)
	return s.Response(m)
}

// Say sends the message to all.
func (b *Bench) Say(_ *session.Session, m *Message) error { return b.all.Broadcast("onSay", m) }

// Enter adds the client to the room m.N.
func (b *Bench) Enter(s *session.Session, m *Message) error {
	r := b.rooms[m.N]
	if r == nil {
		r = nano.NewGroup("room")
		b.rooms[m.N] = r
	}
	if err := r.Add(s); err != nil {
		return err
	}
	return s.Response(m)
}

// Tell sends the message to the room m.N.
func (b *Bench) Tell(_ *session.Session, m *Message) error {
	if r := b.rooms[m.N]; r != nil {
		return r.Broadcast("onTell", m)
	}
	return nil
}

// churners is how many goroutines have members leave and join at a time.
const churners = 2

// Churn has members of the group of all leave and join again for m.N milliseconds, and answers with
// how often one did either.
func (b *Bench) Churn(s *session.Session, m *Message) error {
	mid, members := s.LastMid(), b.members[2:] // the first two speak and wait for this answer
	counts := make(chan int64, churners)
	end := time.Now().Add(time.Duration(m.N) * time.Millisecond)
	for i := 0; i < churners; i++ {
		go func(mine []*session.Session) {
			var n int64
			for ; n&0xff != 0 || time.Now().Before(end); n++ {
				one := mine[int(n)%len(mine)]
				if b.all.Leave(one) != nil || b.all.Add(one) != nil {
					break
				}
			}
			counts <- 2 * n
		}(members[i*len(members)/churners : (i+1)*len(members)/churners])
	}
	go func() {
		var sum int64
		for i := 0; i < churners; i++ {
			sum += <-counts
		}
		_ = s.ResponseMID(mid, &Message{N: sum}) // a client that is gone does not wait
	}()
	return nil
}

// Run runs a server until the standard input ends.
func Run(c Config) error {
	session.Lifetime.OnClosed(func(*session.Session) {})
	components := &component.Components{}
	options := []nano.Option{
		nano.WithComponents(components), nano.WithSerializer(json.NewSerializer()), nano.WithHeartbeatInterval(30 * time.Second),
		nano.WithCheckOriginFunc(func(*http.Request) bool { return true }),
	}
	switch c.Role {
	case "single", "backend":
		components.Register(newBench())
	default:
		components.Register(&Gate{})
	}
	return serve(c, options)
}
