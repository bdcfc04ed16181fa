package mesh

import (
	"context"
	"errors"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/lonng/nano/cluster/clusterpb"
	"github.com/lonng/nano/internal/member"
)

// A node waits for its master, as both may start at one moment. What the master refuses is the end
// of the start.
func TestJoiningAMaster(t *testing.T) {
	for _, c := range []struct {
		name    string
		answers []error // one after the other
		want    string  // the error's text
	}{
		{"at once", []error{nil}, ""},
		{"the master is late", []error{status.Error(codes.Unavailable, "starting"), status.Error(codes.DeadlineExceeded, "busy"), nil}, ""},
		{"the address is taken", []error{status.Error(codes.Unavailable, "starting"), status.Error(codes.AlreadyExists, "another node has it")}, "another node has it"},
		{"no token", []error{errStranger}, "token"},
	} {
		t.Run(c.name, func(t *testing.T) {
			asked := 0
			master := &partner{handled: func(context.Context, any) error { return nil }}
			master.register = func(r *clusterpb.RegisterRequest) (*clusterpb.RegisterResponse, error) {
				asked++
				if r.GetMemberInfo().GetServiceAddr() != "self:1" {
					t.Errorf("the node registers as %v", r.GetMemberInfo())
				}
				return &clusterpb.RegisterResponse{NodeId: 11}, c.answers[min(asked, len(c.answers))-1]
			}
			option := master.serve(t)
			m, _ := newMesh(t, func(c *Config) { c.GrpcOptions = []grpc.DialOption{option} })
			err := m.master.join(t.Context())
			defer m.master.close()
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("the start ends with %v", err)
			}
			if asked != len(c.answers) {
				t.Errorf("the master was asked %d times", asked)
			}
			if self, _, _ := m.roster.state(); c.want == "" && self.NodeID != 11 {
				t.Errorf("the node's id is %d", self.NodeID)
			}
		})
	}
}

// A start that nobody waits for any more ends, with the reason.
func TestJoiningEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	gaveUp := errors.New("the program gave up")
	master := &partner{register: func(*clusterpb.RegisterRequest) (*clusterpb.RegisterResponse, error) {
		cancel(gaveUp)
		return nil, status.Error(codes.Unavailable, "starting")
	}}
	option := master.serve(t)
	m, _ := newMesh(t, func(c *Config) { c.GrpcOptions = []grpc.DialOption{option} })
	defer m.master.close()
	if err := m.master.join(ctx); !errors.Is(err, gaveUp) || !strings.Contains(err.Error(), "master:1") {
		t.Errorf("the start ends with %v", err)
	}
}

// A heartbeat says which list the node has, and brings the newest. After a node has left there is
// none: the master would take it in again.
func TestHeartbeatsBringTheList(t *testing.T) {
	beats, left := 0, 0
	master := &partner{handled: func(context.Context, any) error { left++; return nil }}
	master.register = func(*clusterpb.RegisterRequest) (*clusterpb.RegisterResponse, error) {
		return &clusterpb.RegisterResponse{NodeId: 11, View: toView(member.View{Version: member.Version{Master: 3, N: 1}, Settled: true})}, nil
	}
	master.heartbeat = func(r *clusterpb.HeartbeatRequest) (*clusterpb.HeartbeatResponse, error) {
		beats++
		if v := r.GetVersion(); v.GetMaster() != 3 || v.GetN() != uint64(beats) {
			t.Errorf("heartbeat %d names version %v", beats, v)
		}
		draining := other("back:1", "Room")
		draining.State = member.Draining
		return &clusterpb.HeartbeatResponse{NodeId: 12, View: toView(member.View{
			Version: member.Version{Master: 3, N: uint64(beats) + 1}, Settled: true, Members: []member.Member{draining},
		})}, nil
	}
	option := master.serve(t)
	m, _ := newMesh(t, func(c *Config) { c.GrpcOptions = []grpc.DialOption{option} })
	defer m.master.close()
	if err := m.master.join(t.Context()); err != nil {
		t.Fatal(err)
	}
	m.master.beat(t.Context())
	m.master.beat(t.Context())
	if all := m.Members(); len(all) != 1 || all[0].Addr != "back:1" {
		t.Errorf("the list is %v", all)
	}
	if self, _, _ := m.roster.state(); self.NodeID != 12 {
		t.Errorf("the node's id is %d", self.NodeID)
	}
	m.roster.leave()
	m.master.leave(t.Context())
	m.master.beat(t.Context())
	if beats != 2 || left != 1 {
		t.Errorf("%d heartbeats, %d times left", beats, left)
	}
}

// A master that does not answer twice may have lost its host: the node connects anew, as another
// may listen there already.
func TestAMuteMasterIsConnectedAnew(t *testing.T) {
	option := new(partner).serve(t)
	m, _ := newMesh(t, func(c *Config) { c.GrpcOptions = []grpc.DialOption{option} })
	conn, err := m.peers.dial("master:1", false)
	if err != nil {
		t.Fatal(err)
	}
	m.master.conn = conn
	defer m.master.close()
	late := status.Error(codes.DeadlineExceeded, "late")
	for i, c := range []struct {
		err  error
		anew bool
	}{{late, false}, {nil, false}, {late, false}, {late, true}} {
		was := m.master.conn
		m.master.asked(c.err)
		if anew := m.master.conn != was; anew != c.anew {
			t.Errorf("call %d: %v, a new connection: %v", i, c.err, anew)
		}
	}
	select {
	case <-m.roster.beat:
	default:
		t.Error("the new connection is not tried")
	}
}
