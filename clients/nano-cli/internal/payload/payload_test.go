package payload_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lonng/nano/clients/nano-cli/internal/payload"
)

// What is typed must be sent as it is meant, and a slip must be told before anything goes out.
func TestParse(t *testing.T) {
	file := filepath.Join(t.TempDir(), "p.bin")
	if err := os.WriteFile(file, []byte{1, 2}, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, text, want, err string }{
		{"nothing", "  ", "", ""},
		{"an object", ` {"a":1} `, `{"a":1}`, ""},
		{"a number", "12", "12", ""},
		{"hex", "hex:0a 0B", "\n\v", ""},
		{"text", "text:hi there", "hi there", ""},
		{"a file", "@" + file, "\x01\x02", ""},
		{"broken JSON", `{"a":}`, "", "character 6"},
		{"a bare word", `hello`, "", "text:hello"},
		{"hex with an odd digit", "hex:0a0", "", "odd length"},
		{"no such file", "@" + file + "x", "", "no such file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := payload.Parse(c.text)
			if c.err == "" && (err != nil || string(got) != c.want) {
				t.Errorf("got %q, %v", got, err)
			}
			if c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
				t.Errorf("the error is %v", err)
			}
		})
	}
}

func TestSplit(t *testing.T) {
	for text, want := range map[string][2]string{
		" Room.Join {\"a\": 1} ": {"Room.Join", `{"a": 1}`},
		"Room.Join\ttext:a b":    {"Room.Join", "text:a b"},
		"Room.Join":              {"Room.Join", ""},
		"":                       {"", ""},
	} {
		if r, p := payload.Split(text); r != want[0] || p != want[1] {
			t.Errorf("%q parts into %q and %q", text, r, p)
		}
	}
}
