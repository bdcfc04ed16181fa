// Package payload reads the payloads that people type: in prompts, flags and scenario files.
package payload

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"unicode"
)

// Parse makes the bytes of a payload from what somebody wrote: JSON as it is, "hex:0a0b" as the
// bytes that stand there, "text:hello" as the text after the colon, "@name" as the content of a
// file, nothing as no payload. The error for broken JSON says where it breaks.
func Parse(text string) ([]byte, error) {
	text = strings.TrimSpace(text)
	switch {
	case text == "":
		return nil, nil
	case strings.HasPrefix(text, "hex:"):
		digits := strings.Join(strings.Fields(text[len("hex:"):]), "")
		b, err := hex.DecodeString(digits)
		if err != nil {
			return nil, fmt.Errorf("payload %q: %w", text, err)
		}
		return b, nil
	case strings.HasPrefix(text, "text:"):
		return []byte(text[len("text:"):]), nil
	case strings.HasPrefix(text, "@"):
		b, err := os.ReadFile(text[1:])
		if err != nil {
			return nil, fmt.Errorf("payload: %w", err)
		}
		return b, nil
	}
	if err := CheckJSON(text); err != nil {
		return nil, fmt.Errorf("payload %w (other forms: hex:0a0b, text:hello, @file)", err)
	}
	return []byte(text), nil
}

// CheckJSON returns nil if text is one JSON value, and else an error that says at which character
// it is not.
func CheckJSON(text string) error {
	var v any
	err := json.Unmarshal([]byte(text), &v)
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return fmt.Errorf("%s is not JSON: character %d: %w", quote(text), syntax.Offset, err)
	}
	return err
}

// Split parts "Room.Join {...}" into route and payload text.
func Split(text string) (route, payload string) {
	text = strings.TrimSpace(text)
	if i := strings.IndexFunc(text, unicode.IsSpace); i >= 0 {
		return text[:i], strings.TrimSpace(text[i:])
	}
	return text, ""
}

func quote(text string) string {
	if r := []rune(text); len(r) > 60 {
		text = string(r[:60]) + "…"
	}
	return fmt.Sprintf("%q", text)
}
