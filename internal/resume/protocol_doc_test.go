package resume_test

import (
	"bytes"
	"encoding/hex"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/internal/resume"
)

// Who writes a client from docs/protocol.md compares with its examples.
func TestProtocolPageShowsCounts(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "protocol.md"))
	if err != nil {
		t.Fatal(err)
	}
	rows := regexp.MustCompile("(?m)^\\| (\\d+) \\| `(03 [0-9a-f ]+)` \\|$").FindAllStringSubmatch(string(page), -1)
	if len(rows) < 6 {
		t.Fatalf("%d examples", len(rows))
	}
	for _, row := range rows {
		n, err := strconv.ParseUint(row[1], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		got, err := hex.DecodeString(strings.ReplaceAll(row[2], " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		if want := codec.AppendPacket(nil, codec.Heartbeat, resume.AppendCount(nil, n)); !bytes.Equal(got, want) {
			t.Errorf("count %d: the page has % x, the code % x", n, got, want)
		}
		if back, err := resume.ParseCount(got[codec.HeadLength:]); back != n || err != nil {
			t.Errorf("count %d is read as %d: %v", n, back, err)
		}
	}
}
