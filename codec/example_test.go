package codec_test

import (
	"fmt"

	"github.com/lonng/nano/codec"
)

// A server's side of one request, without the network: the request is cut out of
// what arrived and the answer is made.
func Example() {
	request, err := codec.AppendData(nil, codec.Request, 1, "Room.Join", []byte(`{"name":"a"}`), 0, nil, 0)
	if err != nil {
		fmt.Println(err)
		return
	}

	var (
		d   codec.Decoder
		out []byte // grows once and is used again
	)
	d.Feed(request) // as much as one read returned
	for {
		p, ok, err := d.Next()
		if err != nil {
			fmt.Println(err) // end the connection
			return
		}
		if !ok {
			break // read again
		}
		m, err := codec.ParseMessage(p.Body)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%v %d to %s: %s\n", m.Type, m.ID, m.Route, m.Data)
		out, err = codec.AppendData(out[:0], codec.Response, m.ID, "", []byte(`{"code":0}`), 0, nil, 0)
		if err != nil {
			fmt.Println(err)
			return
		}
	}
	fmt.Printf("%x\n", out)
	// Output:
	// Request 1 to Room.Join: {"name":"a"}
	// 0400000c04017b22636f6465223a307d
}
