//go:build linux

package chaos

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	"github.com/lonng/nano"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/session"
)

// services are the components of each backend. Each service has two nodes, so that one may be
// missing.
func services(name string) []string {
	switch name {
	case "backend-1":
		return []string{"World"}
	case "backend-2":
		return []string{"World", "Ledger"}
	case "backend-3":
		return []string{"Ledger"}
	}
	return nil
}

// nodeProcess is what a child process is: one node. It tells the judge what happens on its standard
// output, a line each, written at once: what was told before a SIGKILL is not lost.
type nodeProcess struct {
	engine             *Engine
	name, run, network string
	reach              string        // how it reaches the engine
	master             string        // its address; empty: it is reached by its name, through the network
	heartbeat          time.Duration // between nodes, and to clients
	resume             bool          // clients resume their sessions, and the backends have rooms
	spread             time.Duration // of a drain
	rooms              *rooms        // nil: none

	app      *nano.App
	out      sync.Mutex
	sessions map[string]*served // by number; the scheduler's
	count    atomic.Int64       // numbers given away
}

// served is a session on a backend.
type served struct {
	s      *session.Session
	number string
	pushed int64
}

func (n *nodeProcess) tell(words ...any) {
	n.out.Lock()
	defer n.out.Unlock()
	fmt.Println(words...)
}

// dial connects to another node by way of the network that the parent plays.
func (n *nodeProcess) dial(ctx context.Context, to string) (net.Conn, error) {
	nc, err := (&net.Dialer{}).DialContext(ctx, "tcp", n.network)
	if err != nil {
		return nil, err
	}
	to, _, _ = strings.Cut(to, ":")
	if _, err := fmt.Fprintf(nc, "%s %s\n", n.name, to); err != nil {
		_ = nc.Close()
		return nil, err
	}
	return nc, nil
}

// address is the service address that a node's name stands for. Only the parent's network knows it.
func address(name string) string { return name + ":3250" }

// options are those of the node, which listens for others on l.
func (n *nodeProcess) options(l net.Listener) ([]nano.Option, error) {
	options := []nano.Option{
		nano.WithServiceListener(l),
		nano.WithHeartbeatInterval(n.heartbeat),
		nano.WithSlowHandler(-1),
		nano.WithShutdownTimeout(10 * time.Second),
		nano.WithForwardedValues("name"),
		nano.WithComponents(n.components()),
	}
	if n.network != "" {
		options = append(options, nano.WithGrpcOptions(grpc.WithContextDialer(n.dial)))
	}
	switch {
	case n.engine != nil:
		k, err := n.engine.Keeper(n.reach)
		if err != nil {
			return nil, err
		}
		options = append(options, nano.WithKeeper(k))
	case n.name == "master":
		options = append(options, nano.WithMaster())
	default:
		options = append(options, nano.WithAdvertiseAddr(cmp.Or(n.master, address("master")), 200*time.Millisecond))
	}
	if strings.HasPrefix(n.name, "gate") {
		options = append(options, nano.WithEndpoint(nano.Endpoint{Addr: "127.0.0.1:0"}), nano.WithEndpoint(nano.Endpoint{Addr: "127.0.0.1:0", WebSocket: true}))
		if n.resume {
			options = append(options, nano.WithResume(nano.Resume{Window: 30 * n.heartbeat}), nano.WithDrain(nano.Drain{Spread: n.spread}))
		}
	}
	return options, nil
}

// serveUntilTold runs the node until its input ends.
func (n *nodeProcess) serveUntilTold() error {
	slog.SetDefault(slog.New(slog.NewTextHandler(logOutput(), nil)).With("node", n.name))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	addr := address(n.name)
	if n.network == "" {
		addr = l.Addr().String()
	}
	options, err := n.options(l)
	if err != nil {
		return err
	}
	n.app = nano.New(addr, options...)
	n.app.Lifetime().OnClosed(func(s *session.Session) {
		if v, ok := s.Value("served").(*served); ok {
			n.tell("closed", v.number)
			delete(n.sessions, v.number)
		}
	})
	if n.resume {
		n.travelling()
	}
	n.tell("listens", l.Addr())
	if err := n.app.Start(context.Background()); err != nil {
		return err
	}
	n.app.Scheduler().NewTimer(300*time.Millisecond, func() {
		for _, v := range n.sessions {
			v.push()
		}
	})
	doors := []string{"serves"}
	for _, a := range n.app.Addrs() {
		doors = append(doors, a.String())
	}
	n.tell(strings.Join(doors, " "))
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		n.obey(lines.Text())
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	err = n.app.Shutdown(ctx)
	n.tell("ended")
	return err
}

// obey does what the parent says.
func (n *nodeProcess) obey(line string) {
	word, value, _ := strings.Cut(line, " ")
	number, _ := strconv.ParseInt(value, 10, 64)
	switch word {
	case "figures":
		n.tell("figures", n.app.Stats().Sessions, n.app.Stats().Connections)
	case "members":
		for end := time.Now().Add(10 * time.Second); len(n.app.Members()) < int(number) && time.Now().Before(end); {
			time.Sleep(10 * time.Millisecond)
		}
		n.tell("members", len(n.app.Members()))
	case "kick":
		n.tell("kicked", n.app.KickUser(number, "as asked"))
	case "drain":
		ctx, cancel := context.WithTimeout(context.Background(), time.Duration(number))
		defer cancel()
		n.tell("drained", n.app.Drain(ctx))
	case "cast":
		n.tell("done", n.rooms.cast(int(number)))
	}
}

// logOutput is where the nodes' logs go: nowhere, or to the file that NANO_CHAOS_LOG names.
func logOutput() io.Writer {
	name := os.Getenv("NANO_CHAOS_LOG")
	if name == "" {
		return io.Discard
	}
	f, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600) //nolint:gosec // the user's choice
	if err != nil {
		return io.Discard
	}
	return f
}

// serve returns what the node keeps of a session, and numbers it when it is new here.
func (n *nodeProcess) serve(s *session.Session, conn string) *served {
	if v, ok := s.Value("served").(*served); ok {
		return v
	}
	v := &served{s: s, number: n.name + "/" + n.run + "/" + strconv.FormatInt(n.count.Add(1), 10)}
	s.Set("served", v)
	n.sessions[v.number] = v
	n.tell("opened", v.number, conn)
	return v
}

// push sends the session's next number. What Push has taken has to arrive.
func (v *served) push() {
	if err := v.s.Push("onNumber", fmt.Appendf(nil, "%s %d", v.number, v.pushed+1)); err == nil {
		v.pushed++
	}
}

// components are the handlers of the node. A client's payload is "connection number".
func (n *nodeProcess) components() *component.Components {
	cs := &component.Components{}
	if n.resume && n.name != "master" {
		n.rooms = newRooms(n)
		n.rooms.register(cs, strings.HasPrefix(n.name, "gate"))
	}
	if strings.HasPrefix(n.name, "gate") {
		component.HandleRaw(cs, "Gate.Login", func(_ context.Context, s *session.Session, data []byte) error {
			conn := string(data)
			uid, err := strconv.ParseInt(conn, 10, 64)
			if err != nil {
				return err
			}
			v := &served{s: s, number: n.name + "/" + n.run + "/" + conn}
			n.tell("opened", v.number, conn)
			s.Set("served", v)
			s.Set("name", "player "+conn)
			if err := s.Bind(uid); err != nil {
				return err
			}
			return s.Response(data)
		})
	}
	for _, service := range services(n.name) {
		do := func(s *session.Session, data []byte) *served {
			conn, number, _ := strings.Cut(string(data), " ")
			v := n.serve(s, conn)
			n.tell("ran", v.number, conn, number, s.UID(), strconv.Quote(s.String("name")), time.Now().UnixNano())
			return v
		}
		component.HandleRaw(cs, service+".Do", func(_ context.Context, s *session.Session, data []byte) error {
			v := do(s, data)
			v.push()
			err := s.Response(data)
			v.push()
			return err
		})
		component.HandleRaw(cs, service+".Relay", func(ctx context.Context, s *session.Session, data []byte) error {
			do(s, data)
			id := n.name + "/" + n.run + "/call/" + strconv.FormatInt(n.count.Add(1), 10)
			if _, err := nano.Call[[]byte](ctx, "Ledger.Add", []byte(id)); err != nil {
				n.tell("failed", id, time.Now().UnixNano())
				return err
			}
			n.tell("answered", id, time.Now().UnixNano())
			return s.Response(data)
		})
		if service == "Ledger" {
			component.HandleRaw(cs, "Ledger.Add", func(_ context.Context, s *session.Session, data []byte) error {
				n.tell("called", string(data), s.UID(), time.Now().UnixNano())
				return s.Response([]byte("added"))
			})
		}
	}
	return cs
}
