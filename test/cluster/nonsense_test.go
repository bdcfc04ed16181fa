package cluster_test

import (
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/lonng/nano/cluster/clusterpb"
	"github.com/lonng/nano/internal/link"
	"github.com/lonng/nano/test/internal/apptest"
)

// rpcs are all unary calls between nodes, and what makes an empty request of each.
func rpcs() map[string]proto.Message {
	return map[string]proto.Message{
		"/clusterpb.Master/Register":       &clusterpb.RegisterRequest{},
		"/clusterpb.Master/Unregister":     &clusterpb.UnregisterRequest{},
		"/clusterpb.Master/Heartbeat":      &clusterpb.HeartbeatRequest{},
		"/clusterpb.Member/HandleRequest":  &clusterpb.RequestMessage{},
		"/clusterpb.Member/HandleNotify":   &clusterpb.NotifyMessage{},
		"/clusterpb.Member/HandlePush":     &clusterpb.PushMessage{},
		"/clusterpb.Member/HandleResponse": &clusterpb.ResponseMessage{},
		"/clusterpb.Member/NewMember":      &clusterpb.NewMemberRequest{},
		"/clusterpb.Member/DelMember":      &clusterpb.DelMemberRequest{},
		"/clusterpb.Member/SessionClosed":  &clusterpb.SessionClosedRequest{},
		"/clusterpb.Member/CloseSession":   &clusterpb.CloseSessionRequest{},
	}
}

// raw sends bytes as they are.
type raw struct{}

// evil is a node that the list has, and that sends what no node would.
type evil struct {
	clusterpb.UnimplementedLinkServer
	sent, refused int
}

// Carry lets the others believe that there is a way to it.
func (*evil) Carry(s grpc.BidiStreamingServer[clusterpb.Batch, clusterpb.Ack]) error {
	if err := s.Send(&clusterpb.Ack{Epoch: 5}); err != nil {
		return err
	}
	<-s.Context().Done()
	return nil
}

func newEvil(t *testing.T, f *apptest.Cluster) *evil {
	t.Helper()
	e := new(evil)
	server := grpc.NewServer()
	clusterpb.RegisterLinkServer(server, e)
	l := f.Listen("evil:1")
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(l)
	}()
	t.Cleanup(func() {
		server.Stop()
		<-served
	})
	conn := newStranger(t, f, apptest.Master, insecure.NewCredentials())
	info := &clusterpb.MemberInfo{ServiceAddr: "evil:1", Epoch: 5, Link: 1, Services: []string{"Evil"}}
	if _, err := clusterpb.NewMasterClient(conn).Register(t.Context(), &clusterpb.RegisterRequest{MemberInfo: info}); err != nil {
		t.Fatal(err)
	}
	return e
}

// fuzz sends batches over links, each of which has to be handled: acknowledged, or refused for what
// is in it.
func (e *evil) fuzz(t *testing.T, random *rand.Rand, conn *grpc.ClientConn, sessions []int64) {
	t.Helper()
	for i := range 300 {
		ctx := metadata.AppendToOutgoingContext(t.Context(), "nano-addr", "evil:1", "nano-epoch", "5")
		s, err := clusterpb.NewLinkClient(conn).Carry(ctx)
		if err != nil {
			t.Fatal(err)
		}
		hello, err := s.Recv()
		if err != nil {
			t.Fatalf("%s has not taken the link: %v", conn.Target(), err)
		}
		seq := hello.GetSeq() + 1
		frames := junk(random)
		if i%2 > 0 {
			frames = oddFrames(random, append([]int64{-1, 0, 1, 2, 3}, sessions...))
		}
		if err := s.Send(&clusterpb.Batch{Seq: seq, Frames: frames}); err != nil {
			t.Fatal(err)
		}
		_ = s.CloseSend()
		ack, err := s.Recv()
		switch {
		case err == nil && ack.GetSeq() == seq:
			e.sent++
			_, err = s.Recv()
		case err == nil:
			t.Fatalf("%s acknowledges %d, want %d", conn.Target(), ack.GetSeq(), seq)
		}
		if status.Code(err) == codes.DataLoss {
			e.refused++
		} else if !errors.Is(err, io.EOF) {
			t.Fatalf("%s, to %x: %v", conn.Target(), frames, err)
		}
	}
}

// junk is no frames at all, or hardly.
func junk(random *rand.Rand) []byte {
	b := make([]byte, random.IntN(64))
	for i := range b {
		b[i] = byte(random.IntN(20))
	}
	return b
}

// oddFrames are frames that can be read, with what does not belong together.
func oddFrames(random *rand.Rand, sessions []int64) (b []byte) {
	pick := func(words ...string) []byte { return []byte(words[random.IntN(len(words))]) }
	for range 1 + random.IntN(8) {
		f := &link.Frame{
			Kind: link.Kind(random.IntN(int(link.Reply) + 3)), Flags: byte(random.IntN(16)),
			Session: sessions[random.IntN(len(sessions))], ID: uint64(random.IntN(3)), UID: int64(random.IntN(12)) - 1,
			Route: pick("", "Back.Echo", "Back.Who", "Back.Bind", "Back.", ".Echo", "Ping", "evil:1", "gate:1", "none:1"),
			Text:  pick("", "", "evil:1", "gate:1", "back:1", apptest.Master, "none:1", "x"),
			Data:  junk(random),
		}
		for range random.IntN(3) {
			f.Sessions = append(f.Sessions, sessions[random.IntN(len(sessions))])
		}
		b = link.AppendFrame(b, f)
	}
	return b
}

// Empty calls are errors, and whatever comes, the cluster goes on.
func TestNonsenseOnTheServiceAddressIsAnError(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		m := f.Start(t, apptest.Master, apptest.Handlers(nil))
		g := f.Start(t, "gate:1", apptest.Handlers(apptest.SignIn()))
		b := f.Start(t, "back:1", apptest.Handlers(backend(nil)))
		apptest.Meet(t, m, g, b)
		c := g.TCP.Client(t)
		c.Beats = true
		c.Ready()
		apptest.Call(t, c, "Back.Bind", "777", "<nil>") // a node may kick any user: the fuzzed ones are others
		random := rand.New(rand.NewPCG(1, 2))
		evil := newEvil(t, f)
		synctest.Wait() // all have heard of it
		for _, n := range []*apptest.Node{m, g, b} {
			conn := newStranger(t, f, n.Addr, insecure.NewCredentials())
			for method, empty := range rpcs() {
				if strings.Contains(method, "Master") != (n == m) && strings.Contains(method, "Master") {
					continue
				}
				if err := conn.Invoke(t.Context(), method, empty, &clusterpb.MemberHandleResponse{}); err == nil {
					t.Errorf("%s with nothing in it is taken by %s", method, n.Addr)
				}
				for range 100 {
					body := make([]byte, random.IntN(64))
					for i := range body {
						body[i] = byte(random.Uint32())
						if random.IntN(3) > 0 { // tags and lengths that make some sense
							body[i] = byte(random.IntN(6)<<3 | 2*random.IntN(2))
						}
					}
					reply := []byte{}
					_ = conn.Invoke(t.Context(), method, &body, &reply, grpc.ForceCodec(raw{}))
				}
			}
			for range 10 { // players to whom it may do what it wants
				g.TCP.Client(t).Ready()
			}
			synctest.Wait()
			evil.fuzz(t, random, conn, g.Opened()[1:])
		}
		if evil.sent < 800 || evil.refused < 100 || g.Stats().Kicked == 0 {
			t.Errorf("of 900 batches %d were handled, %d of them not to the end, and %d players kicked", evil.sent, evil.refused, g.Stats().Kicked)
		}
		for range 6 { // until whom they made up is gone
			apptest.Pong(t, c)
			time.Sleep(time.Second)
		}
		agree(t, 5*time.Second, m, g, b)
		apptest.Call(t, c, "Back.Echo", "x", "x")
		for _, n := range []*apptest.Node{m, g, b} {
			if n.Log.Has("panicked") {
				t.Errorf("%s: %s", n.Addr, n.Log.Lines("panicked")[0])
			}
		}
	})
}
