package client_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/clients/client"
	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/internal/nanotest"
)

// What is too long must fail by itself: sent, it would end the connection, and with it the requests
// of everybody else.
func TestServersLimitOfPackets(t *testing.T) {
	nanotest.Leaks(t)
	body := func(n int) []byte { return fmt.Appendf(nil, `{"text":%q}`, strings.Repeat("x", n)) }
	for _, tc := range []struct {
		name     string
		node     int // 0: the node's default
		opts     []client.Option
		limit    int
		fit, not int // bytes of text
	}{
		{"the node's default", 0, nil, 65536, 65000, 66000},
		{"the node allows more", 200_000, nil, 200_000, 199_000, 201_000},
		{"the node allows less", 1000, nil, 1000, 900, 1000},
		{"told otherwise", 200_000, []client.Option{client.WithMaxPacket(500)}, 500, 400, 500},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var opts []nano.Option
			if tc.node > 0 {
				opts = append(opts, nano.WithMaxPacket(tc.node))
			}
			app, _ := startNode(t, "127.0.0.1:0", opts...)
			c := dial(t, "tcp://"+app.Addr().String(), tc.opts...)
			if got := c.Info().MaxPacket; got != tc.limit {
				t.Errorf("the limit is %d, want %d", got, tc.limit)
			}
			if err := c.Request(ctx, "Room.Echo", body(tc.fit), nil); err != nil {
				t.Errorf("%d bytes: %v", tc.fit, err)
			}
			if err := c.Request(ctx, "Room.Echo", body(tc.not), nil); !errors.Is(err, codec.ErrPacketTooLarge) {
				t.Errorf("%d bytes: %v", tc.not, err)
			}
			if err := c.Request(ctx, "Room.Echo", &text{"still here"}, nil); err != nil || c.Stats().Connects != 1 {
				t.Errorf("after that: %v", err)
			}
			_ = c.Close()
		})
	}
}

// The keys are not v0.5's, and other servers may use them for something else: that must not keep a
// client out.
func TestStrangeAnswers(t *testing.T) {
	for _, tc := range []struct {
		sys    string
		limit  int
		routes int
	}{
		{`{}`, 65536, 0},
		{`{"maxPacket":"64k","dictVersion":{"a":1}}`, 65536, 0},
		{`{"maxPacket":-5,"dictVersion":"v1"}`, 65536, 0},
		{`{"maxPacket":1e300,"dictVersion":3,"dict":{"a":1}}`, codec.MaxPacket, 1},
		{`{"maxPacket":0.5}`, 65536, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newServer(t)
			c, p := s.connect(`{"code":200,"sys":` + tc.sys + `}`)
			if in := c.Info(); in.MaxPacket != tc.limit || in.Routes != tc.routes || c.Dictionary().Version != "" {
				t.Errorf("%s: %+v, %+v", tc.sys, in, c.Dictionary())
			}
			p.drain()
		})
	}
}

// A dictionary can be larger than all else that a handshake says. It need not come again while it
// stays the same; and once the server has another one, an old one would call the wrong handlers.
func TestDictionaryIsKeptByItsVersion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		c, p := s.connect(`{"code":200,"sys":{"dict":{"a.b":7},"dictVersion":"v1"}}`, client.WithReconnect(fast))
		for _, step := range []struct {
			asked, sys string
			want       byte // code of the route; 0: it is written out
			version    string
		}{
			{"", "", 7, "v1"},
			{"v1", `{"dictVersion":"v1"}`, 7, "v1"},
			{"v1", `{"dict":{"a.b":8},"dictVersion":"v2"}`, 8, "v2"},
			{"v2", `{"dict":{"a.b":9}}`, 9, ""},
			{"", `{"dict":{"a.b":7},"dictVersion":"v1"}`, 7, "v1"},
			{"v1", `{}`, 0, ""},
			{"", `{"dictVersion":"v1"}`, 0, ""},
		} {
			if step.sys != "" {
				_ = p.nc.Close()
				p = s.accept()
				p.welcome(`{"code":200,"sys":` + step.sys + `}`)
			}
			if asked := strings.Contains(p.hello, `"dictVersion":"`+step.asked+`"`); asked != (step.asked != "") {
				t.Errorf("asked for %q with %s", step.asked, p.hello)
			}
			done := make(chan error, 1)
			go func() { done <- c.Notify(ctx, "a.b", nil) }()
			got := p.packet()
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			if written := got.Body[0]&1 == 0; written != (step.want == 0) || !written && got.Body[2] != step.want {
				t.Errorf("%s: sent % x, want code %d", step.sys, got.Body, step.want)
			}
			if d := c.Dictionary(); d.Version != step.version || d.Version != "" && d.Routes["a.b"] != uint16(step.want) {
				t.Errorf("%s: kept %v", step.sys, d)
			}
		}
		p.drain()
		_ = c.Close()
	})
}

// With a node of ours: it says the version, and leaves the dictionary out for those who have it.
func TestDictionaryIsKeptWithANode(t *testing.T) {
	nanotest.Leaks(t)
	dict := map[string]uint16{"Room.Echo": 1, "onSay": 2}
	app, end := startNode(t, "127.0.0.1:0", nano.WithDictionary(dict))
	addr := app.Addr().String()
	back := make(chan struct{}, 10)
	first := client.New("tcp://"+addr, quiet(),
		client.WithReconnect(client.Reconnect{Min: time.Millisecond, Max: 10 * time.Millisecond}), client.WithAwayWait(nanotest.Patience),
		client.WithStateHandler(func(ch client.Change) {
			if ch.State == client.Online {
				back <- struct{}{}
			}
		}))
	if err := first.Connect(ctx); err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	use := func(c *client.Client, sent bool) {
		t.Helper()
		var reply text
		if err := c.Request(ctx, "Room.Echo", &text{"hi"}, &reply); err != nil || reply.Text != "hi" {
			t.Errorf("echo %q, %v", reply.Text, err)
		}
		if got := strings.Contains(string(c.Info().Sys), `"dict":`); got != sent || c.Info().Routes != 2 {
			t.Errorf("sent %v, want %v: %s", got, sent, c.Info().Sys)
		}
	}
	eventually(t, back, "online")
	use(first, true)
	end()
	_, end = startNode(t, addr, nano.WithDictionary(dict)) // another process has the same version for it
	eventually(t, back, "online again")
	use(first, false)

	second := dial(t, "tcp://"+addr, client.WithDictionary(first.Dictionary()))
	use(second, false)
	_ = second.Close()

	end()
	_, _ = startNode(t, addr, nano.WithDictionary(map[string]uint16{"Room.Echo": 2, "onSay": 1}))
	eventually(t, back, "online again")
	use(first, true)

	broken := client.Dictionary{Version: "v", Routes: map[string]uint16{"a": 1, "b": 1}}
	if _, err := client.Dial(ctx, "tcp://"+addr, client.WithDictionary(broken)); !errors.Is(err, codec.ErrDictionary) {
		t.Errorf("two routes with one code: %v", err)
	}
}
