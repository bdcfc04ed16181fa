package pipeline_test

import (
	"bytes"
	"fmt"

	"github.com/lonng/nano/component"
	"github.com/lonng/nano/pipeline"
	"github.com/lonng/nano/session"
)

func Example() {
	p := pipeline.New()
	p.Inbound().PushBack(func(s *session.Session, msg *pipeline.Message) error {
		if s.UID() == 0 && msg.Route != "Account.Login" {
			return component.Errorf(component.CodeUnauthenticated, "log in first")
		}
		return nil
	})
	p.Outbound().PushBack(func(_ *session.Session, msg *pipeline.Message) error {
		msg.Data = bytes.ToUpper(msg.Data)
		return nil
	})

	// What a node does with the messages of a session.
	s := session.New(nil)
	fmt.Println(p.Inbound().Process(s, &pipeline.Message{Route: "Room.Join"}))

	msg := &pipeline.Message{Route: "onChat", Data: []byte("hello")}
	fmt.Println(p.Outbound().Process(s, msg), string(msg.Data))
	// Output:
	// unauthenticated: log in first
	// <nil> HELLO
}
