package etcdtest

import (
	"bytes"
	"net"
	"regexp"
	"sync"
	"time"
)

// proxy stands before one address. What goes through it can be stopped without a word to either
// side, as by a network that loses everything.
type proxy struct {
	l    net.Listener
	to   string
	peer bool // etcd's members talk through it: their first request says who they are

	mu    sync.Mutex
	moved *sync.Cond
	shut  func(from string) bool // nil: nobody is cut off
	conns map[net.Conn]struct{}
	ended bool
	all   sync.WaitGroup
}

// newProxy opens a proxy before to, which ends with the test.
func newProxy(t T, to string, peer bool) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{l: l, to: to, peer: peer, conns: make(map[net.Conn]struct{})}
	p.moved = sync.NewCond(&p.mu)
	p.all.Go(p.accept)
	t.Cleanup(p.close)
	return p
}

func (p *proxy) addr() string { return p.l.Addr().String() }

// cut stops everything from those that shut names, or lets it go on with all that waited, if nil.
func (p *proxy) cut(shut func(from string) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.shut = shut
	p.moved.Broadcast()
}

func (p *proxy) close() {
	_ = p.l.Close()
	p.mu.Lock()
	p.ended = true
	for c := range p.conns {
		_ = c.Close()
	}
	p.moved.Broadcast()
	p.mu.Unlock()
	p.all.Wait()
}

func (p *proxy) accept() {
	for {
		c, err := p.l.Accept()
		if err != nil {
			return
		}
		p.all.Go(func() { p.carry(c) })
	}
}

// carry carries one connection.
func (p *proxy) carry(c net.Conn) {
	if !p.add(c) {
		return
	}
	defer p.drop(c)
	head, from := p.introduction(c)
	if !p.pass(from) {
		return
	}
	to, err := net.DialTimeout("tcp", p.to, time.Second)
	if err != nil || !p.add(to) {
		return
	}
	defer p.drop(to)
	if _, err := to.Write(head); err != nil {
		return
	}
	var back sync.WaitGroup
	back.Go(func() { p.pump(to, c, from) })
	p.pump(c, to, from)
	back.Wait()
}

func (p *proxy) pump(from, to net.Conn, who string) {
	for b := make([]byte, 16<<10); ; {
		n, err := from.Read(b)
		if !p.pass(who) {
			break
		}
		if n > 0 {
			if _, err := to.Write(b[:n]); err != nil {
				break
			}
		}
		if err != nil {
			break
		}
	}
	p.drop(from)
	p.drop(to)
}

var fromHeader = regexp.MustCompile(`(?i)\r\nX-Server-From: ([0-9a-f]+)\r\n`)

// introduction reads which of etcd's members has connected.
func (p *proxy) introduction(c net.Conn) (head []byte, from string) {
	if !p.peer {
		return nil, ""
	}
	for b := make([]byte, 1024); len(head) < 16<<10; {
		n, err := c.Read(b)
		head = append(head, b[:n]...)
		if m := fromHeader.FindSubmatch(head); m != nil {
			return head, string(m[1])
		}
		if err != nil || bytes.Contains(head, []byte("\r\n\r\n")) {
			break
		}
	}
	return head, ""
}

// pass waits while from is cut off; false if the proxy has ended.
func (p *proxy) pass(from string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.shut != nil && p.shut(from) && !p.ended {
		p.moved.Wait()
	}
	return !p.ended
}

func (p *proxy) add(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		_ = c.Close()
		return false
	}
	p.conns[c] = struct{}{}
	return true
}

func (p *proxy) drop(c net.Conn) {
	_ = c.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
}
