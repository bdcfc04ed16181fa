package resume_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/internal/resume"
)

var start = time.Unix(1_800_000_000, 0)

// numbered is a packet that says which one it is.
func numbered(n int) []byte {
	return codec.AppendPacket(nil, codec.Data, fmt.Appendf(nil, "packet %d", n))
}

// upTo is the bytes of packets from..to.
func upTo(from, to int) []byte {
	var b []byte
	for n := from; n <= to; n++ {
		b = append(b, numbered(n)...)
	}
	return b
}

func kept(o *resume.Outbox) []byte {
	var all []byte
	for p := range o.All() {
		all = append(all, p...)
	}
	return all
}

// What is kept must be exactly what the other side lacks, however it was put in, or a player sees
// a message twice or never.
func TestOutbox(t *testing.T) {
	var o resume.Outbox
	for n := 1; n <= 500; n++ {
		if n%3 == 0 {
			o.Share(numbered(n))
		} else {
			o.Copy(numbered(n))
		}
	}
	early := kept(&o)
	if o.Own() >= o.Bytes() || o.Own() < o.Bytes()/2 {
		t.Errorf("%d bytes, %d of them its own", o.Bytes(), o.Own())
	}
	for _, n := range []uint64{0, 1, 2, 3, 100, 99, 0, 250, 499} {
		if err := o.Acknowledge(n); err != nil {
			t.Fatal(err)
		}
		if n == 0 && o.Base() != 0 && o.Base() != 100 {
			t.Errorf("an older count took packets back: base %d", o.Base())
		}
		if got, want := kept(&o), upTo(int(o.Base())+1, 500); !bytes.Equal(got, want) {
			t.Fatalf("after acknowledging %d: kept %q", n, got)
		}
	}
	for n := 501; n <= 600; n++ {
		o.Copy(numbered(n))
	}
	if !bytes.Equal(early, upTo(1, 500)) {
		t.Error("what was handed out has changed")
	}
	if err := o.Acknowledge(601); !errors.Is(err, resume.ErrCount) {
		t.Error("a count beyond what was sent:", err)
	}
	if err := o.Acknowledge(600); err != nil || o.Bytes() != 0 || o.Own() != 0 || len(kept(&o)) != 0 {
		t.Errorf("all is acknowledged, and %d bytes are kept: %v", o.Bytes(), err)
	}
}

// A frame that many sessions share lies in memory behind which something else may lie.
func TestOutboxLeavesSharedFramesAlone(t *testing.T) {
	memory := append(numbered(1), "the next frame of the same buffer"...)
	was := bytes.Clone(memory)
	var o resume.Outbox
	o.Share(memory[:len(numbered(1))])
	o.Copy(numbered(2))
	if !bytes.Equal(memory, was) {
		t.Error("a copy was written behind a shared frame")
	}
	if !bytes.Equal(kept(&o), upTo(1, 2)) {
		t.Error("kept something else")
	}
}

// A session that is over its bound holds no more, and says that it is over only when a packet is
// gone that the client cannot have.
func TestTrim(t *testing.T) {
	var s resume.Session
	for n := 1; n <= 100; n++ {
		s.Out.Share(numbered(n))
		if !s.Trim(1000) {
			t.Fatal("over, though it is connected")
		}
	}
	if s.Out.Bytes() > 1000 || s.Out.Base() == 0 {
		t.Fatalf("%d bytes kept", s.Out.Bytes())
	}
	s.Suspend(start.Add(time.Minute))
	over := 0
	for n := 101; over == 0; n++ {
		s.Out.Share(numbered(n))
		if !s.Trim(1000) {
			over = n
		}
	}
	if s.Out.Base() != 101 {
		t.Errorf("over when packet %d was dropped, want 101", s.Out.Base())
	}
}

// One session from its first handshake to its end, as a transcript.
func TestSession(t *testing.T) {
	var s resume.Session
	s.Init(resume.NewKey())
	issue := func() (token resume.Token) {
		s.Issue(&token)
		return token
	}
	come := func(token resume.Token, n uint64, after time.Duration, want resume.Reason) {
		t.Helper()
		if got, err := s.Resume(token, n, start.Add(after)); got != want || err != nil {
			t.Fatalf("Resume(%+v, %d) after %v: %q, %v; want %q", token, n, after, got, err, want)
		}
	}
	come(resume.Token{}, 0, 0, resume.Unknown)
	first := issue()
	for n := 1; n <= 5; n++ {
		s.Out.Copy(numbered(n))
	}
	for _, wrong := range []resume.Token{{}, {Key: first.Key}, {Key: first.Key, Turn: 2}, {Key: resume.NewKey(), Turn: 1}} {
		come(wrong, 2, 0, resume.Unknown)
	}
	if _, err := s.Resume(first, 6, start); !errors.Is(err, resume.ErrCount) {
		t.Fatal("a count beyond what was sent:", err)
	}
	come(first, 2, 0, "") // while it is still connected: the new connection wins
	if !bytes.Equal(kept(&s.Out), upTo(3, 5)) {
		t.Fatal("something else is sent again")
	}
	second := issue()
	come(first, 2, 0, "") // the client has made another attempt before, which comes late
	third := issue()
	come(second, 2, 0, "") // so what was answered in between must be good, too
	fourth := issue()
	come(first, 2, 0, resume.Unknown) // now it is known to have a later one
	come(third, 2, 0, "")
	come(fourth, 2, 0, "")
	fifth := issue()
	s.Suspend(start.Add(30 * time.Second))
	s.Suspend(start.Add(40 * time.Second))
	if until, ok := s.Suspended(); !ok || !until.Equal(start.Add(30*time.Second)) {
		t.Fatal("suspended until", until, ok)
	}
	come(fourth, 2, 0, "") // the answer with the fifth was lost
	sixth := issue()
	s.Confirm()
	for _, old := range []resume.Token{first, second, third, fourth, fifth} {
		come(old, 4, 0, resume.Unknown)
	}
	s.Suspend(start.Add(30 * time.Second))
	come(sixth, 4, 29*time.Second, "")
	come(sixth, 3, 0, resume.Overflow)
	s.Suspend(start.Add(30 * time.Second))
	come(sixth, 5, 30*time.Second, resume.Expired)
	if !s.Expired(start.Add(30*time.Second)) || s.Expired(start.Add(29*time.Second)) {
		t.Error("expires at another time")
	}
}

// The client's half, as a transcript.
func TestClient(t *testing.T) {
	yes, no := true, false
	count := func(n uint64) *uint64 { return &n }
	var c resume.Client
	welcome := func(a *resume.Answer, resumed bool, reason resume.Reason) {
		t.Helper()
		if r, why, err := c.Welcome(a); r != resumed || why != reason || err != nil {
			t.Fatalf("Welcome(%+v): %v %q %v", a, r, why, err)
		}
	}
	if c.Offer() != nil {
		t.Fatal("offers a session that it does not have")
	}
	welcome(&resume.Answer{Token: "one", Window: 30}, false, "")
	c.Receive(10)
	for n := 1; n <= 3; n++ {
		c.Out.Copy(numbered(n))
	}
	if o := c.Offer(); o == nil || *o != (resume.Offer{Token: "one", Received: 1, Gap: true}) || c.Window() != 30*time.Second {
		t.Fatalf("%+v %v", o, c.Window())
	}
	welcome(&resume.Answer{Token: "two", Window: 30, Resumed: &yes, Received: count(1)}, true, "")
	if !bytes.Equal(kept(&c.Out), upTo(2, 3)) {
		t.Fatal("something else is sent again")
	}
	for _, a := range []*resume.Answer{
		{Token: "three", Resumed: &yes, Received: count(0)},
		{Token: "three", Resumed: &yes, Received: count(4)},
		{Token: "three", Resumed: &yes},
		{Resumed: &yes, Received: count(2)},
	} {
		if _, _, err := c.Welcome(a); !errors.Is(err, resume.ErrCount) {
			t.Errorf("%+v: %v", a, err)
		}
	}
	welcome(&resume.Answer{Token: "three", Window: -1, Resumed: &no, Reason: resume.Gap}, false, resume.Gap)
	if o := c.Offer(); *o != (resume.Offer{Token: "three", Gap: true}) || len(kept(&c.Out)) != 0 || c.Window() != 0 {
		t.Fatalf("%+v", o)
	}
	welcome(nil, false, resume.Unknown) // a server that knows nothing of it
	if c.Offer() != nil {
		t.Fatal("offers a session that is gone")
	}
	if _, _, err := c.Welcome(&resume.Answer{Token: "x", Resumed: &yes, Received: count(0)}); !errors.Is(err, resume.ErrCount) {
		t.Error("nothing was there to resume:", err)
	}
}

// Each side hears of what was received before the other has to keep much.
func TestReceiveTells(t *testing.T) {
	var s resume.Side
	told, size := 0, 0
	for range 10_000 {
		size += 100
		if s.Receive(100) {
			told++
		}
	}
	if s.Received() != 10_000 || told < size/(32<<10) || told > size/(8<<10) {
		t.Errorf("told %d times of %d packets", told, s.Received())
	}
}

func TestHeartbeat(t *testing.T) {
	var s resume.Side
	for n := 1; n <= 300; n++ {
		s.Out.Copy(numbered(n))
	}
	for _, c := range []struct {
		body []byte
		base uint64
		ok   bool
	}{
		{nil, 0, true},
		{[]byte{5}, 5, true},
		{resume.AppendCount(nil, 299), 299, true},
		{[]byte{7}, 299, true},
		{resume.AppendCount(nil, 301), 299, false},
		{[]byte{0x80}, 299, false},
		{[]byte{5, 5}, 299, false},
		{bytes.Repeat([]byte{0xff}, 11), 299, false},
	} {
		err := s.Heartbeat(c.body)
		if (err == nil) != c.ok || s.Out.Base() != c.base || err != nil && !errors.Is(err, resume.ErrCount) {
			t.Errorf("% x: base %d, %v", c.body, s.Out.Base(), err)
		}
	}
}

// A token says nothing to anybody else, and nobody else can make one.
func TestToken(t *testing.T) {
	signer := resume.NewSigner(nil)
	token := resume.Token{Key: resume.NewKey(), Turn: 7, Session: -77, Gate: "10.0.0.5:3250"}
	text := signer.Text(token)
	if got, err := signer.Parse(text); got != token || err != nil {
		t.Fatal(got, err)
	}
	if text == signer.Text(resume.Token{Key: resume.NewKey(), Turn: 7, Session: -77, Gate: "10.0.0.5:3250"}) {
		t.Error("two tokens are the same")
	}
	if _, err := resume.NewSigner(nil).Parse(text); !errors.Is(err, resume.ErrToken) {
		t.Error("another secret reads it:", err)
	}
	shared := []byte("the cluster's")
	if got, err := resume.NewSigner(shared).Parse(resume.NewSigner(shared).Text(token)); got != token || err != nil {
		t.Error("the same secret does not read it:", err)
	}
	bad := []string{"", "x", text + "A", text[:len(text)-1], strings.Repeat("A", 1<<20), "%" + text[1:]}
	for i := range len(text) {
		other := byte('A')
		if text[i] == other {
			other = 'B'
		}
		bad = append(bad, text[:i]+string(other)+text[i+1:])
	}
	for _, b := range bad {
		if _, err := signer.Parse(b); !errors.Is(err, resume.ErrToken) || strings.Contains(err.Error(), text[:8]) {
			t.Errorf("%.80q: %v", b, err)
		}
	}
	if s := fmt.Sprintf("%v %+v %s", token.Key, token, token.Key); strings.Contains(s, fmt.Sprint([16]byte(token.Key))) || !strings.Contains(s, "[hidden]") {
		t.Error("a log would show the key:", s)
	}
}

// Who guesses is stopped, and others are not.
func TestGuard(t *testing.T) {
	var g resume.Guard
	bad, other := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("::ffff:10.0.0.1")
	now := start
	n := 0
	for ; g.Allows(bad, now); n++ {
		g.Wrong(bad, now)
	}
	if n < 10 || n > 30 {
		t.Errorf("%d attempts", n)
	}
	if g.Allows(netip.MustParseAddr("2001:db8::2"), now) || !g.Allows(other, now) {
		t.Error("another network counts, or the own one does not")
	}
	if now = now.Add(time.Minute); !g.Allows(bad, now) {
		t.Error("it is for ever")
	}
	for i := range 100_000 { // bounded memory
		g.Wrong(netip.AddrFrom4([4]byte{byte(i >> 16), byte(i >> 8), byte(i), 1}), now)
	}
	for range 30 {
		g.Wrong(other, now)
	}
	if g.Allows(other, now) {
		t.Error("so many addresses, and nobody is stopped any more")
	}
}

// What is remembered of sessions that are over is bounded.
func TestEnds(t *testing.T) {
	var e resume.Ends
	for id := range int64(10_000) {
		e.Add(id, resume.Expired)
	}
	e.Add(-1, resume.Overflow)
	if e.Why(0) != resume.Unknown || e.Why(9_999) != resume.Expired || e.Why(-1) != resume.Overflow || e.Why(-2) != resume.Unknown {
		t.Error(e.Why(0), e.Why(9_999), e.Why(-1), e.Why(-2))
	}
	known := 0
	for id := range int64(10_000) {
		if e.Why(id) != resume.Unknown {
			known++
		}
	}
	if known < 1000 || known > 5000 {
		t.Errorf("%d are remembered", known)
	}
}
