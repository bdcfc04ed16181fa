package json_test

import (
	"fmt"

	"github.com/lonng/nano/serialize/json"
)

func Example() {
	s := json.NewSerializer()
	data, err := s.Marshal(map[string]int{"members": 3})
	fmt.Println(string(data), err)

	var got struct{ Members int }
	err = s.Unmarshal(data, &got)
	fmt.Println(got.Members, err)
	// Output:
	// {"members":3} <nil>
	// 3 <nil>
}
