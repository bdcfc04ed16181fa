package codec_test

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Who writes a client from docs/protocol.md compares with its examples: they are the golden
// vectors, byte for byte.
func TestProtocolPageShowsTheVectors(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "docs", "protocol.md"))
	if err != nil {
		t.Fatal(err)
	}
	vectors := make(map[string]string)
	for _, v := range loadVectors(t) {
		vectors[v.Name] = hex.EncodeToString(unhex(t, v.Hex))
	}
	_, examples, found := strings.Cut(string(page), "\n## Examples\n")
	if !found {
		t.Fatal("the page has no examples")
	}
	rows := regexp.MustCompile("(?m)^\\| `([^`]+)` \\|.*\\| `([0-9a-f ]+)` \\|$").FindAllStringSubmatch(examples, -1)
	if all := strings.Count(examples, "\n| `"); len(rows) != all || all < 12 {
		t.Errorf("%d of %d examples can be read, want all, and at least 12", len(rows), all)
	}
	for _, row := range rows {
		if want, known := vectors[row[1]]; !known {
			t.Errorf("there is no vector %q", row[1])
		} else if got := strings.ReplaceAll(row[2], " ", ""); got != want {
			t.Errorf("the example %q is %s, the vector %s", row[1], got, want)
		}
	}
}
