package main

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/lonng/nano"
	"github.com/lonng/nano/component"
)

// What the chat allows. Lengths are counted in runes.
const (
	maxName    = 24  // of a person or a room
	maxText    = 500 // of a message
	maxRef     = 40  // bytes of a client's own mark on a message
	maxHistory = 50  // messages kept for a room, in memory
	maxRooms   = 64  // on this server
	maxMembers = 500 // in one room
	maxJoined  = 8   // rooms that one person is in at a time
)

// How much one session may ask for: a burst, and how soon one more is allowed after it.
const (
	callBurst, callEvery = 30, 200 * time.Millisecond
	talkBurst, talkEvery = 6, 800 * time.Millisecond
	typingEvery          = time.Second

	// Who asks for still more is refused, and kicked when that does not help.
	refuseBurst, refuseEvery = 30, 2 * time.Second
)

// cleanName returns a name as it is shown: trimmed, with single blanks inside. what says which name it is, for
// the error.
func cleanName(what, name string) (string, error) {
	name = strings.Join(strings.Fields(name), " ")
	if name == "" {
		return "", nano.Errorf(component.CodeInvalid, "%s is empty", what)
	}
	if n := utf8.RuneCountInString(name); n > maxName {
		return "", nano.Errorf(component.CodeInvalid, "%s has %d characters; at most %d are allowed", what, n, maxName)
	}
	visible := false
	for _, r := range name {
		switch {
		case r == '\u200d' || r == '\u200c': // they join the parts of emoji, and letters of some scripts
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

// fold returns what two names share when people would take one for the other's: case and invisible characters
// do not count.
func fold(name string) string {
	return strings.Map(func(r rune) rune {
		if r == '\u200d' || r == '\u200c' || unicode.Is(unicode.Variation_Selector, r) {
			return -1
		}
		return unicode.ToLower(unicode.ToUpper(r))
	}, name)
}

// cleanText returns a message as it is sent: trimmed, line breaks kept, other control characters gone.
func cleanText(text string) (string, error) {
	text = strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(text)
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return -1
		}
		return r
	}, text)
	text = strings.TrimSpace(text)
	if text == "" {
		return "", nano.Errorf(component.CodeInvalid, "the message is empty")
	}
	if n := utf8.RuneCountInString(text); n > maxText {
		return "", nano.Errorf(component.CodeInvalid, "the message has %d characters; at most %d are allowed", n, maxText)
	}
	return text, nil
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
