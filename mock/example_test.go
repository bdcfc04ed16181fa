package mock_test

import (
	"fmt"

	"github.com/lonng/nano/mock"
	"github.com/lonng/nano/session"
)

// greet is a handler that is to be tested.
func greet(s *session.Session, data []byte) error {
	if len(data) == 0 {
		return s.Kick("no name")
	}
	if err := s.Push("onGreet", "welcome"); err != nil {
		return err
	}
	return s.Response("hello " + string(data))
}

func Example() {
	entity := mock.NewNetworkEntity()
	s := session.New(entity)

	fmt.Println(greet(s, []byte("anna")))
	fmt.Println(entity.LastResponse())
	fmt.Println(entity.Pushes())

	fmt.Println(greet(s, nil))
	fmt.Println(entity.Kicked())
	// Output:
	// <nil>
	// hello anna
	// [{onGreet welcome}]
	// <nil>
	// no name true
}
