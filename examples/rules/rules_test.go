package rules

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// Names stand on everybody's screen.
func TestName(t *testing.T) {
	for _, c := range []struct {
		name, in, want string
		ok             bool
	}{
		{"as it is", "Ada", "Ada", true},
		{"blanks", "  Ada   L.\t", "Ada L.", true},
		{"emoji", "👩\u200d🚀 Ada", "👩\u200d🚀 Ada", true},
		{"empty", "", "", false},
		{"nothing but blanks", " \n ", "", false},
		{"nothing to be seen", "\u200d\u200d", "", false},
		{"invisible letters", "\u3164\u3164", "", false},
		{"a control character", "a\x00b", "", false},
		{"text that runs backwards", "a\u202eb", "", false},
		{"not UTF-8", "a\xff", "", false},
		{"what stands for not UTF-8", "a\ufffd", "", false},
		{"sixteen", strings.Repeat("ä", 16), strings.Repeat("ä", 16), true},
		{"seventeen", strings.Repeat("ä", 17), "", false},
		{"very long", strings.Repeat("x", 1<<20), "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Name("the name", c.in, 16)
			if (err == nil) != c.ok || got != c.want {
				t.Errorf("%q, %v; want %q", got, err, c.want)
			}
			if err != nil && !strings.Contains(err.Error(), "the name ") {
				t.Errorf("the error does not say of what: %v", err)
			}
		})
	}
}

// What people write arrives as they wrote it, but for what could harm the page or the log.
func TestText(t *testing.T) {
	for _, c := range []struct {
		name, in, want string
		ok             bool
	}{
		{"lines", "one\r\ntwo\rthree\n", "one\ntwo\nthree", true},
		{"tabs", "a\tb", "a\tb", true},
		{"control characters", "a\x00b\x1b[31mc", "ab[31mc", true},
		{"nothing", " \n\x00 ", "", false},
		{"as much as there may be", strings.Repeat("ä", 20), strings.Repeat("ä", 20), true},
		{"more", strings.Repeat("ä", 21), "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, err := Text("the message", c.in, 20); (err == nil) != c.ok || got != c.want {
				t.Errorf("%q, %v; want %q", got, err, c.want)
			}
		})
	}
}

// Nobody passes for another, and nobody finds the room of the same name empty.
func TestFold(t *testing.T) {
	for _, same := range [][2]string{{"Ada", "aDA"}, {" the  Attic", "the attic "}, {"a\u200db", "ab"}, {"❤\ufe0f", "❤"}, {"ΣΑΣ", "σας"}} {
		if Fold(same[0]) != Fold(same[1]) {
			t.Errorf("%q and %q are not taken for the same", same[0], same[1])
		}
	}
	if Fold("Ada") == Fold("Adam") {
		t.Error("different names are taken for the same")
	}
}

// A burst is allowed, and then one after each interval.
func TestBucket(t *testing.T) {
	var b Bucket
	at := time.Unix(1000, 0)
	take := func() bool { return b.Take(at, 3, time.Second) }
	for i := range 3 {
		if !take() {
			t.Fatalf("the %d. of a burst of 3 is refused", i+1)
		}
	}
	if take() {
		t.Error("a fourth is allowed at once")
	}
	at = at.Add(time.Second)
	if !take() || take() {
		t.Error("after an interval there is not exactly one")
	}
	at = at.Add(time.Hour)
	for range 3 {
		if !take() {
			t.Error("after a rest there is no whole burst")
		}
	}
	if take() {
		t.Error("a rest saves up more than a burst")
	}
}

// What strangers cause stands in the log once a second.
func TestSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s Seldom
		times := 0
		for range 1000 {
			if s.Now() {
				times++
			}
			time.Sleep(10 * time.Millisecond)
		}
		if times < 9 || times > 10 {
			t.Errorf("within 10 s it is time %d times", times)
		}
	})
}
