package serialize_test

import (
	"bytes"
	"encoding/gob"
	"fmt"

	"github.com/lonng/nano/serialize"
)

// Gob is a serializer of an application's own.
type Gob struct{}

func (Gob) Marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	err := gob.NewEncoder(&b).Encode(v)
	return b.Bytes(), err
}

func (Gob) Unmarshal(data []byte, v any) error {
	return gob.NewDecoder(bytes.NewReader(data)).Decode(v)
}

func Example() {
	var s serialize.Serializer = Gob{}
	data, err := s.Marshal("hello")
	if err != nil {
		fmt.Println(err)
		return
	}
	var got string
	fmt.Println(s.Unmarshal(data, &got), got)
	// Output: <nil> hello
}
