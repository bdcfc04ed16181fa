package service_test

import (
	"fmt"

	"github.com/lonng/nano/service"
)

func Example() {
	conns, err := service.New(0)
	if err != nil {
		fmt.Println(err)
		return
	}
	conns.Increment()
	fmt.Println(conns.SessionID(), conns.SessionID(), conns.Count())

	_, err = service.New(1 << 20)
	fmt.Println(err)
	// Output:
	// 1 2 1
	// service: node id is too large: 1048576, at most 65535
}
