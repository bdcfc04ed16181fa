// Package rules is what the examples do with what people type, and with those who send too much:
// names and texts as they are shown, and a limit on how often something may be done.
package rules

import (
	"strings"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/lonng/nano"
	"github.com/lonng/nano/component"
)

// Name returns a name as it is shown: trimmed, with single blanks inside, and something to see in
// it. most is in runes; what says which name it is, for the error.
func Name(what, name string, most int) (string, error) {
	if !utf8.ValidString(name) {
		return "", nano.Errorf(component.CodeInvalid, "%s is not UTF-8", what)
	}
	name = strings.Join(strings.Fields(name), " ")
	if name == "" {
		return "", nano.Errorf(component.CodeInvalid, "%s is empty", what)
	}
	if n := utf8.RuneCountInString(name); n > most {
		return "", nano.Errorf(component.CodeInvalid, "%s has %d characters; at most %d are allowed", what, n, most)
	}
	visible := false
	for _, r := range name {
		switch {
		case r == '\u200d' || r == '\u200c': // they join the parts of emoji, and letters of some scripts
		case r == '\u2800' || r == '\u3164' || r == '\uffa0' || r == '\u115f' || r == '\u1160': // letters that nobody sees
			return "", nano.Errorf(component.CodeInvalid, "%s holds a character that cannot be seen", what)
		case r == utf8.RuneError || !unicode.IsPrint(r):
			return "", nano.Errorf(component.CodeInvalid, "%s holds a character that cannot be shown", what)
		case !unicode.IsSpace(r) && !unicode.IsMark(r):
			visible = true
		}
	}
	if !visible {
		return "", nano.Errorf(component.CodeInvalid, "%s has nothing that can be seen", what)
	}
	return name, nil
}

// Text returns a message as it is sent: trimmed, line breaks kept, other control characters gone.
// most is in runes.
func Text(what, text string, most int) (string, error) {
	text = strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(text)
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return -1
		}
		return r
	}, text)
	text = strings.TrimSpace(text)
	if text == "" {
		return "", nano.Errorf(component.CodeInvalid, "%s is empty", what)
	}
	if n := utf8.RuneCountInString(text); n > most {
		return "", nano.Errorf(component.CodeInvalid, "%s has %d characters; at most %d are allowed", what, n, most)
	}
	return text, nil
}

// Fold returns what two names share when people would take one for the other's: case, blanks at the
// ends and in a row, and invisible characters do not count.
func Fold(name string) string {
	return strings.Map(func(r rune) rune {
		if r == '\u200d' || r == '\u200c' || unicode.Is(unicode.Variation_Selector, r) {
			return -1
		}
		return unicode.ToLower(unicode.ToUpper(r))
	}, strings.Join(strings.Fields(name), " "))
}

// Bucket limits how often something is done: burst times at once, and once more every interval
// after that. Its zero value is full. It is for one goroutine, as handlers are.
type Bucket struct {
	used float64
	at   int64 // nanoseconds of Unix time: buckets are many, and a time.Time takes three times the room
}

// Take reports whether it may be done once more now.
func (b *Bucket) Take(now time.Time, burst int, every time.Duration) bool {
	at := now.UnixNano()
	b.used = max(0, b.used-float64(max(0, at-b.at))/float64(every)) // a clock that was set back stands still
	b.at = at
	if b.used+1 > float64(burst) {
		return false
	}
	b.used++
	return true
}

// Seldom holds back what would come too often, such as a line in the log that strangers can cause.
// Its zero value is ready. It may be used from any goroutine.
type Seldom struct{ last atomic.Int64 }

// Now reports whether it is time: once a second.
func (s *Seldom) Now() bool {
	now, last := time.Now().UnixNano(), s.last.Load()
	return now-last > int64(time.Second) && s.last.CompareAndSwap(last, now)
}
