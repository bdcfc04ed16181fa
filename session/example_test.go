package session_test

import (
	"fmt"

	"github.com/lonng/nano/mock"
	"github.com/lonng/nano/session"
)

func Example() {
	hooks := session.NewLifetime()
	hooks.OnBound(func(s *session.Session) { fmt.Println("online:", s.UID()) })
	hooks.OnClosed(func(s *session.Session) { fmt.Println("offline:", s.UID(), s.String("name")) })

	// What a node does for each connection.
	s := session.New(mock.NewNetworkEntity())
	s.SetLifetime(hooks)
	hooks.Open(s)

	// What a handler does.
	if err := s.Bind(42); err != nil {
		fmt.Println(err)
	}
	s.Set("name", "anna")

	// What the node does at the end.
	hooks.Close(s)
	fmt.Println(s.Bind(43))
	// Output:
	// online: 42
	// offline: 42 anna
	// session: closed
}
