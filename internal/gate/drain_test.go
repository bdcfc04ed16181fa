package gate

import (
	"bytes"
	"encoding/hex"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Who writes a client from docs/protocol.md compares with its example.
func TestProtocolPageShowsTheDrainPush(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "protocol.md"))
	if err != nil {
		t.Fatal(err)
	}
	row := regexp.MustCompile("(?m)^\\| `" + regexp.QuoteMeta(DrainRoute) + "` \\| `([0-9a-f ]+)` \\|$").FindSubmatch(page)
	if row == nil {
		t.Fatal("the page has no example")
	}
	got, err := hex.DecodeString(strings.ReplaceAll(string(row[1]), " ", ""))
	if err != nil || !bytes.Equal(got, drainFrame.packet()) {
		t.Errorf("the page has % x, the code % x (%v)", got, drainFrame.packet(), err)
	}
}
