package decode

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/lonng/nano/codec"
)

// Hex reads hex digits. Blanks, line ends, and ":", "," and "-" may stand between bytes, and "0x"
// before them. The error says which character is wrong.
func Hex(text string) ([]byte, error) {
	out := make([]byte, 0, len(text)/2)
	high := -1 // the digit that waits for its second
	at := 0    // where it stands
	for i := 0; i < len(text); i++ {
		c := text[i]
		digit := strings.IndexByte("0123456789abcdef", c|0x20)
		switch {
		case c == '0' && high < 0 && i+1 < len(text) && text[i+1]|0x20 == 'x':
			if i++; i+1 == len(text) || strings.IndexByte("0123456789abcdefABCDEF", text[i+1]) < 0 {
				return nil, fmt.Errorf("character %d: there is no hex digit after 0x", i+1)
			}
		case (digit >= 0 && c >= '0') && high < 0:
			high, at = digit, i
		case digit >= 0 && c >= '0':
			out = append(out, byte(high<<4|digit))
			high = -1
		case strings.IndexByte(" \t\r\n:,-", c) >= 0:
			if high >= 0 {
				return nil, fmt.Errorf("character %d: the hex digit %q is alone, a byte has two", at+1, text[at])
			}
		default:
			return nil, fmt.Errorf("character %d: %q is not a hex digit", i+1, text[i])
		}
	}
	if high >= 0 {
		return nil, fmt.Errorf("character %d: the hex digit %q is alone, a byte has two", at+1, text[at])
	}
	return out, nil
}

// Input reads data in one of the formats "hex", "raw", "pcap", which is a capture of either kind,
// and "auto", which is a capture if it begins like one, and else hex if nothing but hex stands
// there.
func Input(data []byte, format string) (b []byte, capture bool, err error) {
	switch format {
	case "raw":
		return data, false, nil
	case "pcap":
		if !IsCapture(data) {
			return nil, false, errors.New("it is no capture: it begins neither like pcap nor like pcapng")
		}
		return data, true, nil
	case "hex":
		b, err = Hex(string(data))
		return b, false, err
	case "auto":
		if IsCapture(data) {
			return data, true, nil
		}
		if b, err = Hex(string(data)); err == nil {
			return b, false, nil
		} else if printable(data) {
			return nil, false, fmt.Errorf("%w (bytes that happen to be text are read with --format raw)", err)
		}
		return data, false, nil
	}
	return nil, false, fmt.Errorf("format %q is none of auto, hex, raw, pcap", format)
}

func printable(data []byte) bool {
	return bytes.IndexFunc(data, func(r rune) bool { return r < ' ' && r != '\n' && r != '\r' && r != '\t' || r > '~' }) < 0
}

// Dictionary makes a dictionary of "route=code" pairs and "@file" names, whose files hold a JSON
// object of routes and codes, or a handshake's answer. None of them: nil.
func Dictionary(args []string) (*codec.Dictionary, error) {
	if len(args) == 0 {
		return nil, nil
	}
	all := make(map[string]uint16)
	for _, a := range args {
		if name, ok := strings.CutPrefix(a, "@"); ok {
			data, err := os.ReadFile(name) //nolint:gosec // the user names the file
			if err != nil {
				return nil, fmt.Errorf("dictionary: %w", err)
			}
			routes, err := routesOf(data)
			if err != nil {
				return nil, fmt.Errorf("dictionary %s: %w", name, err)
			}
			for r, c := range routes {
				all[r] = c
			}
			continue
		}
		i := strings.LastIndexByte(a, '=')
		if i <= 0 {
			return nil, fmt.Errorf("dictionary entry %q is neither route=code nor @file", a)
		}
		code, err := strconv.ParseUint(a[i+1:], 0, 16)
		if err != nil {
			return nil, fmt.Errorf("dictionary entry %q: the code is not a number from 0 to 65535", a)
		}
		all[a[:i]] = uint16(code)
	}
	return codec.NewDictionary(all)
}

// versionOf reads the version of a dictionary from a handshake's answer; empty if there is none.
func versionOf(data []byte) string {
	var answer struct {
		Sys struct {
			DictVersion any `json:"dictVersion"`
		} `json:"sys"`
	}
	if json.Unmarshal(data, &answer) != nil {
		return ""
	}
	version, _ := answer.Sys.DictVersion.(string)
	return version
}

// routesOf reads a dictionary by itself or as a part of a handshake.
func routesOf(data []byte) (map[string]uint16, error) {
	var answer struct {
		Sys struct {
			Dict map[string]uint16 `json:"dict"`
		} `json:"sys"`
	}
	if json.Unmarshal(data, &answer) == nil && answer.Sys.Dict != nil {
		return answer.Sys.Dict, nil
	}
	var routes map[string]uint16
	if err := json.Unmarshal(data, &routes); err != nil {
		return nil, err
	}
	if routes == nil {
		return nil, errors.New("it is not an object of routes and codes")
	}
	return routes, nil
}
