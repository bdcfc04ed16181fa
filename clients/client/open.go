package client

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	"github.com/gorilla/websocket"

	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/internal/resume"
)

// target is a server's address.
type target struct {
	scheme string // tcp, tls, ws, wss
	addr   string // host:port, of tcp and tls
	host   string // of tls
	url    string // of ws and wss
}

func parseTarget(s string) (target, error) {
	u, err := url.Parse(s)
	if err != nil {
		return target{}, fmt.Errorf("client: server address: %w", err)
	}
	t := target{scheme: u.Scheme, addr: u.Host, host: u.Hostname(), url: s}
	switch u.Scheme {
	case "tcp", "tls":
		if u.Port() == "" {
			return t, fmt.Errorf("client: server address %q has no port, as in tcp://127.0.0.1:3250", s)
		}
	case "ws", "wss":
	default:
		return t, fmt.Errorf("client: server address %q does not begin with tcp://, tls://, ws:// or wss://", s)
	}
	if t.host == "" {
		return t, fmt.Errorf("client: server address %q has no host", s)
	}
	if u.User != nil {
		return t, errors.New("client: a server address cannot carry a user: use WithUser or WithHeader")
	}
	return t, nil
}

// connect makes the connection with what the scheme asks for.
func (to *target) connect(ctx context.Context, cfg *config, dial DialFunc) (transport, error) {
	switch to.scheme {
	case "tcp", "tls":
		nc, err := dial(ctx, "tcp", to.addr)
		if err != nil {
			return nil, err
		}
		if to.scheme == "tcp" {
			return newStream(nc), nil
		}
		conf := cfg.tls.Clone()
		if conf == nil {
			conf = new(tls.Config)
		}
		if conf.ServerName == "" {
			conf.ServerName = to.host
		}
		t := tls.Client(nc, conf)
		if err := t.HandshakeContext(ctx); err != nil {
			_ = nc.Close()
			return nil, err
		}
		return newStream(t), nil
	default:
		d := websocket.Dialer{
			NetDialContext:  dial,
			TLSClientConfig: cfg.tls,
			ReadBufferSize:  wsReadBuffer,
			WriteBufferSize: wsWriteBuffer,
			WriteBufferPool: &wsWrites,
		}
		conn, resp, err := d.DialContext(ctx, to.url, cfg.header)
		if err != nil {
			if resp != nil {
				_ = resp.Body.Close() // the library has read what there is
				err = fmt.Errorf("%w: %s", err, resp.Status)
			}
			return nil, err
		}
		return &webSocket{conn: conn}, nil
	}
}

// hello returns the packet of the handshake.
func (c *config) hello(user any, dictVersion string, offer *resume.Offer) ([]byte, error) {
	type sys struct {
		Type        string        `json:"type"`
		Version     string        `json:"version"`
		Accept      []string      `json:"accept"`
		DictVersion string        `json:"dictVersion,omitempty"`
		Resume      *resume.Offer `json:"resume,omitempty"`
	}
	accept := c.accept
	if !c.noResume {
		accept = append(slices.Clip(accept), resumeWord)
	}
	body, err := json.Marshal(struct {
		Sys  sys `json:"sys"`
		User any `json:"user,omitempty"`
	}{sys{c.name, c.version, accept, dictVersion, offer}, user})
	if err != nil {
		return nil, fmt.Errorf("client: user data of the handshake: %w", err)
	}
	packet, err := codec.AppendPacketLimit(nil, codec.Handshake, body, c.maxSent)
	if err != nil {
		return nil, fmt.Errorf("client: user data of the handshake: %w", err)
	}
	return packet, nil
}

// handshake introduces the client, and keeps what the server says.
func (l *link) handshake(hello []byte) error {
	c := l.c
	deadline := time.Now().Add(c.cfg.connectTimeout)
	l.countOut(hello)
	if err := l.t.write(hello, deadline); err != nil {
		return fmt.Errorf("client: handshake: %w", err)
	}
	p, err := l.next()
	if err != nil {
		return err
	}
	switch p.Type {
	case codec.Handshake:
	case codec.Kick:
		return kicked(p.Body)
	default:
		return fmt.Errorf("%w: %v instead of the handshake's answer", ErrProtocol, p.Type)
	}
	if err := l.welcome(p.Body); err != nil {
		return err
	}
	if err := c.greeted(l, l.says); err != nil {
		return err
	}
	l.says = nil
	if c.cfg.maxSent > 0 {
		l.info.MaxPacket = c.cfg.maxSent
	}
	ack := codec.AppendPacket(nil, codec.HandshakeAck, nil)
	l.countOut(ack)
	if err := l.t.write(ack, deadline); err != nil {
		return fmt.Errorf("client: handshake: %w", err)
	}
	return nil
}

// maxHeartbeat is the longest interval that the client takes from a server.
const maxHeartbeat = 24 * time.Hour

// welcome reads the answer to a handshake.
func (l *link) welcome(body []byte) error {
	var said struct {
		Code   int
		Reason string
		Sys    json.RawMessage
		User   json.RawMessage
	}
	if err := json.Unmarshal(body, &said); err != nil {
		return fmt.Errorf("%w: the handshake's answer: %w", ErrProtocol, err)
	}
	if said.Code != 200 {
		return &RefusedError{Code: said.Code, Reason: said.Reason}
	}
	var sys struct {
		Heartbeat  float64
		ServerTime float64
		Dict       map[string]uint16
		Accepted   []string
		// Of this framework's nodes; other servers may mean something else by them.
		DictVersion, MaxPacket any
		Resume                 json.RawMessage
	}
	if len(said.Sys) > 0 {
		if err := json.Unmarshal(said.Sys, &sys); err != nil {
			return fmt.Errorf("%w: the handshake's answer: %w", ErrProtocol, err)
		}
	}
	if slices.Contains(sys.Accepted, resumeWord) {
		l.says = sys.Resume
	}
	l.info = Info{Accepted: sys.Accepted, Sys: said.Sys, User: said.User, MaxPacket: codec.DefaultMaxPacket}
	if n, ok := sys.MaxPacket.(float64); ok && n >= 1 {
		l.info.MaxPacket = int(min(n, codec.MaxPacket))
	}
	if sys.Heartbeat > 0 {
		l.info.Heartbeat = maxHeartbeat
		if sys.Heartbeat < maxHeartbeat.Seconds() {
			l.info.Heartbeat = time.Duration(sys.Heartbeat * float64(time.Second))
		}
	}
	if sys.ServerTime > 0 && sys.ServerTime < 1<<40 {
		l.info.ServerTime = time.Unix(int64(sys.ServerTime), 0)
	}
	version, _ := sys.DictVersion.(string)
	if len(sys.Dict) > 0 {
		dict, err := codec.NewDictionary(sys.Dict)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrProtocol, err)
		}
		l.dict = dict
	} else if version != "" && version == l.kept.version { // it need not come again
		l.dict = l.kept.dict
	}
	l.info.Routes = l.dict.Len()
	l.kept = keptDict{}
	if version != "" && l.dict != nil {
		l.kept = keptDict{version, l.dict}
	}
	return nil
}
