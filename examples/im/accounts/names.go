package accounts

import (
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"github.com/lonng/nano"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/examples/im/protocol"
	"github.com/lonng/nano/examples/rules"
)

// alphabets have letters that look like those of one another.
var alphabets = []*unicode.RangeTable{unicode.Latin, unicode.Cyrillic, unicode.Greek, unicode.Armenian, unicode.Cherokee}

// shown returns a name as it is shown, so that nobody passes for another by other characters:
// variants of a letter become that letter, and no word has letters of two alphabets.
func shown(name string) (string, error) {
	name = norm.NFKC.String(name)
	for _, word := range strings.FieldsFunc(name, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsMark(r) }) {
		found := 0
		for _, a := range alphabets {
			if strings.ContainsFunc(word, func(r rune) bool { return unicode.Is(a, r) }) {
				found++
			}
		}
		if found > 1 {
			return "", nano.Errorf(component.CodeInvalid, "the name has letters of several alphabets in one word")
		}
	}
	return rules.Name("the name", name, protocol.MaxName)
}
