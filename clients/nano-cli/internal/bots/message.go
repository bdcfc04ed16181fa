package bots

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"text/template"
	"text/template/parse"
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
	pieces   []piece // the template in pieces, if it is simple enough: bots render more payloads than all else together
	fixed    []byte
}

// piece appends one part of a payload.
type piece func(dst []byte, v Vars) []byte

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
			if n < 0 || n > maxLetters {
				return "", fmt.Errorf("letters %d is not from 0 to %d", n, maxLetters)
			}
			return string(letters(nil, n)), nil
		},
		"now": now,
	}).Parse(string(text))
	if err != nil {
		return nil, fmt.Errorf("payload: %w", err)
	}
	return &message{template: t, pieces: simple(t.Root.Nodes)}, nil
}

const maxLetters = 1 << 20

func now() int64 { return time.Now().UnixMilli() }

func letters(dst []byte, n int) []byte {
	for range n {
		dst = append(dst, byte('a'+rand.IntN(26)))
	}
	return dst
}

// simple returns the pieces of a template that holds text, variables, and functions of a number;
// else nil.
func simple(nodes []parse.Node) []piece {
	var all []piece
	for _, n := range nodes {
		p := simplePiece(n)
		if p == nil {
			return nil
		}
		all = append(all, p)
	}
	return all
}

func simplePiece(n parse.Node) piece {
	if t, ok := n.(*parse.TextNode); ok {
		return func(dst []byte, _ Vars) []byte { return append(dst, t.Text...) }
	}
	a, ok := n.(*parse.ActionNode)
	if !ok || len(a.Pipe.Decl) > 0 || len(a.Pipe.Cmds) != 1 {
		return nil
	}
	args := a.Pipe.Cmds[0].Args
	if len(args) == 1 {
		switch args[0].String() {
		case ".Bot":
			return func(dst []byte, v Vars) []byte { return strconv.AppendInt(dst, int64(v.Bot), 10) }
		case ".Bots":
			return func(dst []byte, v Vars) []byte { return strconv.AppendInt(dst, int64(v.Bots), 10) }
		case ".N":
			return func(dst []byte, v Vars) []byte { return strconv.AppendInt(dst, int64(v.N), 10) }
		case "now":
			return func(dst []byte, _ Vars) []byte { return strconv.AppendInt(dst, now(), 10) }
		}
		return nil
	}
	number, ok := args[1].(*parse.NumberNode)
	if len(args) != 2 || !ok || !number.IsInt {
		return nil
	}
	switch k := int(number.Int64); {
	case args[0].String() == "rand" && k >= 1:
		return func(dst []byte, _ Vars) []byte { return strconv.AppendInt(dst, int64(rand.IntN(k)), 10) }
	case args[0].String() == "letters" && k >= 0 && k <= maxLetters:
		return func(dst []byte, _ Vars) []byte { return letters(dst, k) }
	}
	return nil
}

// bytes returns the payload for v. It must not be changed.
func (m *message) bytes(v Vars) ([]byte, error) {
	if m.template == nil {
		return m.fixed, nil
	}
	var data []byte
	if m.pieces != nil {
		data = make([]byte, 0, 128)
		for _, p := range m.pieces {
			data = p(data, v)
		}
	} else {
		var out bytes.Buffer
		if err := m.template.Execute(&out, v); err != nil {
			return nil, fmt.Errorf("payload: %w", err)
		}
		data = out.Bytes()
	}
	if v.N == 0 || bytes.HasPrefix(data, []byte("hex:")) || bytes.HasPrefix(data, []byte("text:")) {
		return payload.Parse(string(data))
	}
	return data, nil // the first one was JSON
}

// json returns the payload for v as JSON.
func (m *message) json(v Vars) (json.RawMessage, error) {
	b, err := m.bytes(v)
	if err == nil {
		err = payload.CheckJSON(string(b))
	}
	return b, err
}
