package protobuf_test

import (
	"fmt"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/lonng/nano/serialize/protobuf"
)

func Example() {
	s := protobuf.NewSerializer()
	data, err := s.Marshal(wrapperspb.String("hello"))
	if err != nil {
		fmt.Println(err)
		return
	}
	var got wrapperspb.StringValue
	err = s.Unmarshal(data, &got)
	fmt.Println(got.GetValue(), err)

	_, err = s.Marshal("hello")
	fmt.Println(err)
	// Output:
	// hello <nil>
	// protobuf: the value is not a protobuf message: string
}
