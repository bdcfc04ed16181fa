package rapidtest

import (
	"encoding/binary"
	"errors"
	"time"

	"pgregory.net/rapid"

	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/internal/resume"
)

const (
	window = 30 * time.Second
	buffer = 4 << 10
)

// world is a client and a node with one session, and the connections between them, beside what each
// has really sent and received.
type world struct {
	*rapid.T
	now    time.Time
	signer *resume.Signer

	client  resume.Client
	session *resume.Session // nil: ended, or none yet
	life    uint64          // which session it is, counted from 1
	ended   resume.Reason   // why the last session ended
	issued  []string        // every token that there was
	roomy   bool            // the buffer was never over its bound in this session

	dialed *conn // the client's connection; nil: away
	served *conn // the session's connection; nil: suspended
	open   []*conn

	toClient, toNode journal
	lost             int // sessions that the client was told are lost
}

// journal is one direction of a session, as its two applications see it.
type journal struct{ sent, received uint64 }

// conn is a connection: what each side has written and the other has not read.
type conn struct {
	up, down  []item
	clientEnd bool // the client has left: it reads nothing more
	nodeEnd   bool
	shaken    bool // the client has the answer
	broken    bool // nothing arrives any more
}

// item is something on a connection.
type item struct {
	hello  *resume.Offer  // up
	asks   bool           // hello, with or without an offer
	answer *resume.Answer // down
	ack    bool           // up
	packet []byte         // data
	beat   []byte         // a heartbeat's body
	isBeat bool
}

func packet(n uint64, size int) []byte {
	body := binary.AppendUvarint(nil, n)
	return codec.AppendPacket(nil, codec.Data, append(body, make([]byte, size)...))
}

func number(p []byte) uint64 {
	n, _ := binary.Uvarint(p[codec.HeadLength:])
	return n
}

// pushes has the node's application send.
func (w *world) pushes(size int, shared bool) {
	if w.session == nil {
		return
	}
	w.toClient.sent++
	p := packet(w.toClient.sent, size)
	if shared {
		w.session.Out.ShareAmong(resume.NewPacket(p))
	} else {
		w.session.Out.Copy(p)
	}
	if w.served != nil && !w.served.nodeEnd {
		w.served.down = append(w.served.down, item{packet: p})
	}
	if w.session.Out.Bytes() > buffer {
		w.roomy = false
	}
	if !w.session.Trim(buffer) {
		w.end(resume.Overflow)
	}
}

// asks has the client's application send, connected or not, as long as there is a session.
func (w *world) asks(size int) {
	if !w.client.Can() || w.client.Out.Bytes() > buffer {
		return
	}
	w.toNode.sent++
	p := packet(w.toNode.sent, size)
	w.client.Out.Copy(p)
	if w.dialed != nil && w.dialed.shaken {
		w.dialed.up = append(w.dialed.up, item{packet: p})
	}
}

func (w *world) end(why resume.Reason) {
	w.session, w.ended = nil, why
	if w.served != nil {
		w.served.nodeEnd = true
		w.served = nil
	}
}

// dial has the client make a connection, whatever became of the last one.
func (w *world) dial() {
	if w.dialed != nil {
		w.dialed.clientEnd = true
	}
	c := &conn{}
	c.up = append(c.up, item{asks: true, hello: w.client.Offer()})
	w.dialed = c
	w.open = append(w.open, c)
}

// atNode handles what has come to the node on c.
func (w *world) atNode(c *conn, it item) {
	if c.nodeEnd {
		return
	}
	if it.asks {
		w.greet(c, it.hello)
		return
	}
	if c != w.served {
		w.Fatal("the node serves a connection that is not the session's")
	}
	switch {
	case it.ack:
		w.session.Confirm()
	case it.isBeat:
		if err := w.session.Heartbeat(it.beat); err != nil {
			w.Fatal(err)
		}
	case it.packet != nil:
		if n := number(it.packet); n != w.toNode.received+1 {
			w.Fatalf("the node got %d after %d", n, w.toNode.received)
		}
		w.toNode.received++
		if w.session.Receive(len(it.packet)) {
			c.down = append(c.down, item{isBeat: true, beat: resume.AppendCount(nil, w.session.Received())})
		}
	}
}

// greet answers a handshake.
func (w *world) greet(c *conn, offer *resume.Offer) {
	yes, no := true, false
	if c.clientEnd && offer == nil { // a session that nobody will ever come back to
		c.nodeEnd = true
		return
	}
	next := resume.Token{Session: int64(w.life), Gate: "gate"}
	a := &resume.Answer{Window: int64(window / time.Second)}
	if offer != nil {
		t, err := w.signer.Parse(offer.Token)
		if err != nil {
			w.Fatal(err)
		}
		reason := w.ended
		if w.session != nil && uint64(t.Session) == w.life {
			if reason, err = w.session.Resume(t, offer.Received, w.now); err != nil {
				w.Fatal(err)
			}
			if reason == resume.Unknown && !c.clientEnd {
				w.Fatal("the client's token is unknown")
			}
		}
		if reason == "" {
			m := w.session.Received()
			w.session.Issue(&next)
			a.Resumed, a.Received, a.Token = &yes, &m, w.signer.Text(next)
			w.issued = append(w.issued, a.Token)
			if w.served != nil {
				w.served.nodeEnd = true
			}
			w.served = c
			c.down = append(c.down, item{answer: a})
			for ps := range w.session.Out.All() {
				for len(ps) > 0 {
					n := resume.Length(ps)
					c.down = append(c.down, item{packet: ps[:n]})
					ps = ps[n:]
				}
			}
			return
		}
		w.checkReason(reason)
		if c.clientEnd { // it came late, and its client has come again meanwhile
			c.nodeEnd = true
			return
		}
		a.Resumed, a.Reason = &no, reason
	}
	w.end("")
	w.life++
	w.session, w.roomy = new(resume.Session), true
	next.Session = int64(w.life)
	w.session.Init(resume.NewKey())
	w.session.Issue(&next)
	a.Token = w.signer.Text(next)
	w.issued = append(w.issued, a.Token)
	w.served = c
	c.down = append(c.down, item{answer: a})
	w.toClient = journal{}
	w.toNode = journal{}
}

// checkReason fails if a session was refused without need.
func (w *world) checkReason(why resume.Reason) {
	switch {
	case why == resume.Overflow && w.roomy:
		w.Fatal("overflow, and never so much was kept")
	case why == resume.Expired:
		if w.session != nil && !w.session.Expired(w.now) {
			w.Fatal("expired too early")
		}
	}
}

// atClient handles what has come to the client on c.
func (w *world) atClient(c *conn, it item) {
	if c.clientEnd {
		return
	}
	switch {
	case it.answer != nil:
		had := w.client.Can()
		resumed, reason, err := w.client.Welcome(it.answer)
		if err != nil {
			w.Fatal(err)
		}
		if had && !resumed {
			if w.lost++; reason == "" {
				w.Fatal("lost, and no reason")
			}
		}
		c.shaken = true
		c.up = append(c.up, item{ack: true})
		for ps := range w.client.Out.All() {
			for len(ps) > 0 {
				n := resume.Length(ps)
				c.up = append(c.up, item{packet: ps[:n]})
				ps = ps[n:]
			}
		}
	case it.isBeat:
		if err := w.client.Heartbeat(it.beat); err != nil {
			w.Fatal(err)
		}
	case it.packet != nil:
		if n := number(it.packet); n != w.toClient.received+1 {
			w.Fatalf("the client got %d after %d", n, w.toClient.received)
		}
		w.toClient.received++
		if w.client.Receive(len(it.packet)) {
			c.up = append(c.up, item{isBeat: true, beat: resume.AppendCount(nil, w.client.Received())})
		}
	}
}

// deliver moves up to n items of each direction of c.
func (w *world) deliver(c *conn, n int) {
	if c.broken {
		c.up, c.down = nil, nil
	}
	for range n {
		if len(c.up) > 0 {
			it := c.up[0]
			c.up = c.up[1:]
			w.atNode(c, it)
		}
		if len(c.down) > 0 {
			it := c.down[0]
			c.down = c.down[1:]
			w.atClient(c, it)
		}
	}
}

// breakUp ends a connection: what is on it is lost.
func (w *world) breakUp(c *conn, nodeHears, clientHears bool) {
	c.broken = true
	if nodeHears && !c.nodeEnd {
		c.nodeEnd = true
		if c == w.served {
			w.served = nil
			w.session.Suspend(w.now.Add(window))
		}
	}
	if clientHears && c == w.dialed {
		c.clientEnd = true
		w.dialed = nil
	}
}

// stranger comes with a token that was good once, or never: nothing may come of it.
func (w *world) stranger(token string, received uint64) {
	t, err := w.signer.Parse(token)
	if err != nil {
		if !errors.Is(err, resume.ErrToken) {
			w.Fatal(err)
		}
		return
	}
	if w.session == nil || uint64(t.Session) != w.life {
		return
	}
	base, sent := w.session.Out.Base(), w.session.Out.Sent()
	if reason, err := w.session.Resume(t, received, w.now); reason != resume.Unknown || err != nil {
		w.Fatalf("an old token got in: %q %v", reason, err)
	}
	if w.session.Out.Base() != base || w.session.Out.Sent() != sent {
		w.Fatal("a stranger has changed the session")
	}
}

// pass lets time go by.
func (w *world) pass(d time.Duration) {
	w.now = w.now.Add(d)
	if w.session != nil && w.session.Expired(w.now) {
		w.end(resume.Expired)
	}
}

// settle gives the client a connection that holds, and delivers everything.
func (w *world) settle() {
	w.dial()
	for range 3 {
		w.deliver(w.dialed, 1<<20)
	}
	if w.session == nil || w.served != w.dialed {
		w.Fatal("the client is not connected")
	}
	if w.toClient.sent != w.toClient.received || w.toNode.sent != w.toNode.received {
		w.Fatalf("to the client %+v, to the node %+v", w.toClient, w.toNode)
	}
	n, m := w.client.Received(), w.session.Received()
	if n != w.toClient.received || m != w.toNode.received {
		w.Fatalf("counts %d and %d, received %+v and %+v", n, m, w.toClient, w.toNode)
	}
}
