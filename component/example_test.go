package component_test

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/lonng/nano/component"
	"github.com/lonng/nano/mock"
	"github.com/lonng/nano/session"
)

// Room is a component with three handlers.
type Room struct {
	component.Base
	names []string
}

type (
	JoinRequest  struct{ Name string }
	JoinResponse struct{ Members int }
)

// Join has the form of v0.5: it answers through the session.
func (r *Room) Join(s *session.Session, req *JoinRequest) error {
	r.names = append(r.names, req.Name)
	return s.Response(&JoinResponse{Members: len(r.names)})
}

// Leave returns its answer.
func (r *Room) Leave(ctx context.Context, s *session.Session, req *JoinRequest) (*JoinResponse, error) {
	i := slices.Index(r.names, req.Name)
	if i < 0 {
		return nil, component.Errorf(component.CodeNotFound, "%s is not here", req.Name)
	}
	r.names = slices.Delete(r.names, i, i+1)
	return &JoinResponse{Members: len(r.names)}, nil
}

// Echo gets the payload as it came.
func (r *Room) Echo(s *session.Session, data []byte) error { return s.Response(data) }

func Example() {
	cs := &component.Components{}
	cs.Register(&Room{}, component.WithName("room"), component.WithNameFunc(strings.ToLower))
	component.HandleRaw(cs, "room.ping", func(_ context.Context, s *session.Session, _ []byte) error {
		return s.Response([]byte("pong"))
	})

	// What a node does when it starts, and with a message.
	services, err := cs.Services()
	if err != nil {
		fmt.Println(err)
		return
	}
	room := services[0]
	s := session.New(mock.NewNetworkEntity())
	join := room.Handlers["join"]
	req := join.New().(*JoinRequest)
	req.Name = "anna"
	if _, err := join.Call(context.Background(), s, req, nil); err != nil {
		fmt.Println(err)
	}
	fmt.Println(s.NetworkEntity().(*mock.NetworkEntity).LastResponse())

	_, err = room.Handlers["leave"].Call(context.Background(), s, &JoinRequest{Name: "ben"}, nil)
	fmt.Println(err)
	// Output:
	// &{1}
	// not_found: ben is not here
}
