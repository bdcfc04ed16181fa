package mesh

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/lonng/nano/codec"
)

// What a backend takes from who pushes or answers, the gate can send: what it cannot would be lost
// there without a word. And nothing is refused that is more than a few bytes smaller.
func TestWhatABackendTakesFitsAPacket(t *testing.T) {
	const most = 1<<24 - 1
	data := make([]byte, most+1)
	for _, route := range []string{"", "on", strings.Repeat("r", codec.MaxRoute)} {
		for n := most - 300; n <= most+1; n++ {
			kind, mid := codec.Push, uint64(0)
			if route == "" {
				kind, mid = codec.Response, math.MaxUint64
			}
			head, err := codec.AppendData(nil, kind, mid, route, nil, 0, nil, most)
			if err != nil {
				t.Fatal(err)
			}
			fits := len(head)-codec.HeadLength+n <= most
			switch err := checkPush(route, data[:n]); {
			case err == nil && !fits:
				t.Errorf("%d bytes under a route of %d are taken, and do not fit", n, len(route))
			case err != nil && (fits && n < most-len(route)-20 || !errors.Is(err, codec.ErrPacketTooLarge)):
				t.Errorf("%d bytes under a route of %d are refused: %v", n, len(route), err)
			}
		}
	}
}
