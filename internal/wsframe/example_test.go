package wsframe_test

import (
	"fmt"

	"github.com/lonng/nano/internal/wsframe"
)

// A server's side of a connection, without the network: the client sends one message
// in two fragments with a ping in between.
func Example() {
	key := [4]byte{1, 2, 3, 4}
	in := wsframe.AppendMasked(nil, wsframe.OpBinary, false, key, []byte("he"))
	in = wsframe.AppendMasked(in, wsframe.OpPing, true, key, []byte("?"))
	in = wsframe.AppendMasked(in, wsframe.OpContinuation, true, key, []byte("llo"))

	var p wsframe.Parser
	p.Init(1 << 20)
	var out []byte
	for data := in; ; { // data is as much as one read returned
		ev, rest, err := p.Next(data)
		if err != nil {
			out = wsframe.AppendClose(out, wsframe.CloseCode(err), "")
			break // write out and end the connection
		}
		if ev.Kind == wsframe.None {
			break // read again
		}
		fmt.Printf("%v %q\n", ev.Kind, ev.Payload)
		if ev.Kind == wsframe.Ping {
			out = wsframe.AppendFrame(out, wsframe.OpPong, ev.Payload)
		}
		data = rest
	}
	fmt.Printf("%x\n", out)
	// Output:
	// Data "he"
	// Ping "?"
	// Data "llo"
	// 8a013f
}
