package bots

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"text/template"
	"time"

	"github.com/lonng/nano/clients/nano-cli/internal/payload"
)

// Vars are what templates see.
type Vars struct {
	Bot  int // number of the bot, from 0
	Bots int // how many there are
	N    int // number of this bot's message of this step, from 0
}

// message is a payload, rendered for each use unless it is always the same.
type message struct {
	template *template.Template
	fixed    []byte
}

func compile(text Text) (*message, error) {
	if !strings.Contains(string(text), "{{") {
		b, err := payload.Parse(string(text))
		return &message{fixed: b}, err
	}
	t, err := template.New("payload").Option("missingkey=error").Funcs(template.FuncMap{
		"rand": func(n int) (int, error) {
			if n < 1 {
				return 0, fmt.Errorf("rand %d: it needs a number above 0", n)
			}
			return rand.IntN(n), nil
		},
		"letters": func(n int) (string, error) {
			if n < 0 || n > 1<<20 {
				return "", fmt.Errorf("letters %d is not from 0 to 1048576", n)
			}
			b := make([]byte, n)
			for i := range b {
				b[i] = byte('a' + rand.IntN(26))
			}
			return string(b), nil
		},
		"now": func() int64 { return time.Now().UnixMilli() },
	}).Parse(string(text))
	if err != nil {
		return nil, fmt.Errorf("payload: %w", err)
	}
	return &message{template: t}, nil
}

// bytes returns the payload for v. It must not be changed.
func (m *message) bytes(v Vars) ([]byte, error) {
	if m.template == nil {
		return m.fixed, nil
	}
	var out bytes.Buffer
	if err := m.template.Execute(&out, v); err != nil {
		return nil, fmt.Errorf("payload: %w", err)
	}
	switch text := out.String(); {
	case strings.HasPrefix(text, "hex:"), strings.HasPrefix(text, "text:"), v.N == 0:
		return payload.Parse(text)
	}
	return out.Bytes(), nil // the first one was JSON
}

// json returns the payload for v as JSON.
func (m *message) json(v Vars) (json.RawMessage, error) {
	b, err := m.bytes(v)
	if err == nil {
		err = payload.CheckJSON(string(b))
	}
	return b, err
}
