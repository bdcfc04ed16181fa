package main

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/lonng/nano"
	"github.com/lonng/nano/component"
)

// What is allowed. Lengths are counted in runes.
const (
	maxName  = 16  // of a person or a room
	maxRooms = 100 // on one backend
	maxToken = 64  // bytes

	// What a client may ask of a gate or a hall: a burst, and how soon one more is allowed after it.
	callBurst, callEvery = 20, 250 * time.Millisecond

	// What it may send into a room. A page sends 20 inputs a second, and now and then some that have waited.
	playBurst, playEvery = 60, time.Second / 30
	// Who sends so many more than that is taken out.
	maxRefused = 300
)

// clean returns a name as it is shown: trimmed, with single blanks inside. what says which name it is, for the
// error.
func clean(what, name string) (string, error) {
	if !utf8.ValidString(name) {
		return "", nano.Errorf(component.CodeInvalid, "%s is not UTF-8", what)
	}
	name = strings.Join(strings.Fields(name), " ")
	if n := utf8.RuneCountInString(name); n > maxName {
		return "", nano.Errorf(component.CodeInvalid, "%s has %d characters; at most %d are allowed", what, n, maxName)
	}
	visible := false
	for _, r := range name {
		switch {
		case r == '\u200d' || r == '\u200c': // they join the parts of emoji, and letters of some scripts
		case r == '\u2800' || r == '\u3164' || r == '\uffa0' || r == '\u115f' || r == '\u1160': // letters that nobody sees
			return "", nano.Errorf(component.CodeInvalid, "%s holds a character that cannot be seen", what)
		case !unicode.IsPrint(r):
			return "", nano.Errorf(component.CodeInvalid, "%s holds a character that cannot be shown", what)
		case !unicode.IsSpace(r) && !unicode.IsMark(r):
			visible = true
		}
	}
	if !visible {
		return "", nano.Errorf(component.CodeInvalid, "%s is empty", what)
	}
	return name, nil
}

// fold returns what two names share when people would take one for the other's.
func fold(name string) string {
	return strings.Map(func(r rune) rune {
		if r == '\u200d' || r == '\u200c' || unicode.Is(unicode.Variation_Selector, r) {
			return -1
		}
		return unicode.ToLower(unicode.ToUpper(r))
	}, name)
}

// bucket limits how often something is done: burst times at once, and once more every interval after that. Its
// zero value is full.
type bucket struct {
	used float64
	at   time.Time
}

// take reports whether it may be done once more now.
func (b *bucket) take(now time.Time, burst int, every time.Duration) bool {
	b.used = max(0, b.used-float64(now.Sub(b.at))/float64(every))
	b.at = now
	if b.used+1 > float64(burst) {
		return false
	}
	b.used++
	return true
}
