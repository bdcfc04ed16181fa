package bots

import (
	"regexp"
	"testing"
)

// Templates that are simple are not run by text/template. They must give what it gives.
func TestPayloads(t *testing.T) {
	for _, c := range []struct {
		text   Text
		want   string // a pattern
		simple bool
	}{
		{`{"n":{{.N}},"b":[{{.Bot}},{{ .Bots }}]}`, `^\{"n":2,"b":\[3,40\]\}$`, true},
		{`"{{letters 5}}{{- letters 2}}"`, `^"[a-z]{7}"$`, true},
		{`[{{rand 6}}, {{rand 0x1}}, {{now}}]`, `^\[[0-5], 0, 1\d{12}\]$`, true},
		{`text:{{.Bot}}`, `^3$`, true},
		{`hex:0{{.Bot}}`, "^\x03$", true},
		{`{{if .N}}[{{.N}}]{{else}}null{{end}}`, `^\[2\]$`, false},
		{`{{.N | printf "%03d" | printf "%q"}}`, `^"002"$`, false},
		{`{{$x := .Bot}}[{{$x}}]`, `^\[3\]$`, false},
		{`"{{letters .Bot}}"`, `^"[a-z]{3}"$`, false},
	} {
		m, err := compile(c.text)
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		if (m.pieces != nil) != c.simple {
			t.Errorf("%s: simple is %v", c.text, m.pieces != nil)
		}
		for _, way := range []string{"pieces", "template"} {
			got, err := m.bytes(Vars{Bot: 3, Bots: 40, N: 2})
			if err != nil || !regexp.MustCompile(c.want).Match(got) {
				t.Errorf("%s by its %s: %q, %v", c.text, way, got, err)
			}
			m.pieces = nil
		}
	}
	for _, bad := range []Text{`{{rand 0}}`, `{{letters -1}}`, `{{letters 9999999}}`, `{{rand 1 2}}`, `{{.Nothing}}`} {
		m, err := compile(bad)
		if err == nil {
			_, err = m.bytes(Vars{N: 1})
		}
		if err == nil {
			t.Errorf("%s passes", bad)
		}
	}
}
