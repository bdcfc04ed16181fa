package store_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/lonng/nano/examples/im/store"
)

// Messages get consecutive numbers, also when very many are written at once, and a retry gets none.
func TestNumbersAreConsecutive(t *testing.T) {
	on(t, func(t *testing.T, open source) {
		s := open(t)
		const people, each = 8, 60
		epochs := map[string]int64{"a": group(t, s, "a", "u0"), "b": group(t, s, "b", "u0")}
		var wg sync.WaitGroup
		var mu sync.Mutex
		stored := make(map[string]int64)
		for p := range people {
			wg.Go(func() {
				for i := range each {
					channel := []string{"a", "b"}[i%2]
					m := store.Message{Channel: channel, From: fmt.Sprint("u", p), CID: fmt.Sprint(i), Text: "x"}
					for range 1 + rand.IntN(2) { // some are sent again
						got, _, err := change(s, store.Post, epochs[channel], m)
						if err != nil {
							t.Error(err)
						}
						mu.Lock()
						id := m.From + "/" + m.CID
						if n, ok := stored[id]; ok && n != got.N {
							t.Errorf("%s has the numbers %d and %d", id, n, got.N)
						}
						stored[id] = got.N
						mu.Unlock()
					}
				}
			})
		}
		wg.Wait()
		for channel := range epochs {
			list := must2(s.History(t.Context(), channel, 0, true, 1000))
			want := []int64{}
			for i := range int64(people * each / 2) {
				want = append(want, i+1)
			}
			if !slices.Equal(numbers(list), want) {
				t.Errorf("%s has the numbers %v", channel, numbers(list))
			}
			for _, m := range list {
				if stored[m.From+"/"+m.CID] != m.N {
					t.Errorf("message %d was acknowledged as %d", m.N, stored[m.From+"/"+m.CID])
				}
			}
		}
	})
}

// The client's own id counts for the user, in all channels and after a restart.
func TestARetryIsHarmless(t *testing.T) {
	on(t, func(t *testing.T, open source) {
		s := open(t)
		a, b := group(t, s, "a", "ann"), group(t, s, "b", "ann")
		first := post(t, s, a, store.Message{Channel: "a", From: "ann", CID: "1", Text: "first"})
		must(t, s.Close())
		s = open(t)
		again, known, err := change(s, store.Post, b, store.Message{Channel: "b", From: "ann", CID: "1", Text: "other"})
		if err != nil || !known || again.Channel != "a" || again.N != first.N || again.Text != "first" {
			t.Errorf("sent again: %+v, %v, %v", again, known, err)
		}
		if m := post(t, s, a, store.Message{Channel: "a", From: "bob", CID: "1", Text: "his"}); m.N != 2 {
			t.Errorf("another user's message with that id is %+v", m)
		}
		for range 2 {
			post(t, s, b, store.Message{Channel: "b", From: "ann", Text: "without an id"})
		}
		if n := len(must2(s.History(t.Context(), "b", 0, false, 10))); n != 2 {
			t.Errorf("%d messages without an id", n)
		}
	})
}

// Two nodes that both take themselves for the owner of a channel cannot store two messages under
// one number. The one that has claimed it earlier is told so, and stores nothing.
func TestTheDatabaseDecidesWhoOwns(t *testing.T) {
	on(t, func(t *testing.T, open source) {
		one, two := open(t), open(t)
		old := group(t, one, "a", "ann")
		post(t, one, old, store.Message{Channel: "a", From: "ann", CID: "1", Text: "1"})
		epoch, c, err := two.Claim(t.Context(), "a")
		if err != nil || c.N != 1 || epoch <= old {
			t.Fatalf("claim: epoch %d, %+v, %v", epoch, c, err)
		}
		post(t, two, epoch, store.Message{Channel: "a", From: "ann", CID: "2", Text: "2"})
		for _, op := range []store.Op{store.Post, store.Edit, store.Delete} {
			if _, _, err := change(one, op, old, store.Message{Channel: "a", N: 1, From: "ann", CID: "3", Text: "3"}); !errors.Is(err, store.ErrNotOwner) {
				t.Errorf("op %d of the old owner: %v", op, err)
			}
		}
		if m, again, err := change(one, store.Post, old, store.Message{Channel: "a", From: "ann", CID: "2", Text: "2"}); err == nil && (!again || m.N != 2) {
			t.Errorf("the old owner stores %+v", m)
		}

		// Both post as fast as they can, and take the channel from each other. Whatever is
		// acknowledged is there once.
		var wg sync.WaitGroup
		var mu sync.Mutex
		acknowledged := make(map[string]int64)
		for i, s := range []store.Store{one, two} {
			wg.Go(func() {
				epoch := int64(0)
				for k := range 100 {
					cid := fmt.Sprint(i, "-", k)
					m, _, err := change(s, store.Post, epoch, store.Message{Channel: "a", From: "bob", CID: cid, Text: "x"})
					for err != nil {
						if !errors.Is(err, store.ErrNotOwner) {
							t.Error(err)
							return
						}
						if epoch, _, err = s.Claim(t.Context(), "a"); err != nil {
							t.Error(err)
							return
						}
						m, _, err = change(s, store.Post, epoch, store.Message{Channel: "a", From: "bob", CID: cid, Text: "x"})
					}
					mu.Lock()
					acknowledged[cid] = m.N
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		list := must2(one.History(t.Context(), "a", 2, true, 1000))
		if len(list) != 200 || len(acknowledged) != 200 {
			t.Fatalf("%d messages are stored, %d acknowledged", len(list), len(acknowledged))
		}
		for i, m := range list {
			if m.N != int64(i)+3 || acknowledged[m.CID] != m.N {
				t.Errorf("message %d has the number %d, and was acknowledged as %d", i+3, m.N, acknowledged[m.CID])
			}
		}
	})
}

// Edits and deletions take a rev each; who was away gets them by rev, once, in order.
func TestChangesByRev(t *testing.T) {
	on(t, func(t *testing.T, open source) {
		s := open(t)
		e := group(t, s, "a", "ann", "bob")
		for i := range 5 {
			post(t, s, e, store.Message{Channel: "a", From: "ann", Name: "ANN", CID: fmt.Sprint(i), Text: fmt.Sprint("text ", i), Mentions: []string{"bob"}})
		}
		edited, _, err := change(s, store.Edit, e, store.Message{Channel: "a", N: 2, Text: "changed"})
		must(t, err)
		deleted, _, err := change(s, store.Delete, e, store.Message{Channel: "a", N: 4})
		must(t, err)
		if edited.Rev != 6 || edited.Edited == 0 || edited.Text != "changed" || deleted.Rev != 7 || !deleted.Deleted || deleted.Text != "" {
			t.Errorf("edited %+v, deleted %+v", edited, deleted)
		}
		again, known, err := change(s, store.Delete, e, store.Message{Channel: "a", N: 4})
		if err != nil || !known || again.Rev != 7 {
			t.Errorf("deleted again: %+v %v %v", again, known, err)
		}
		for _, m := range []store.Message{{Channel: "a", N: 4, Text: "back"}, {Channel: "a", N: 99, Text: "x"}, {Channel: "none", N: 1}} {
			if _, _, err := change(s, store.Edit, e, m); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("edit of %+v: %v", m, err)
			}
		}
		list := must2(s.Since(t.Context(), "a", 3, 10))
		if fmt.Sprint(numbers(list)) != "[5 2 4]" {
			t.Errorf("since rev 3 the messages %v have changed", numbers(list))
		}
		if seat := must2(s.Seat(t.Context(), "bob", "a")); seat.Mentioned != 3 || seat.N != 5 || seat.Rev != 7 || seat.Last.N != 5 {
			t.Errorf("bob's seat: %+v", seat)
		}
		if m := post(t, s, e, store.Message{Channel: "a", From: "ann", CID: "z", Text: "next"}); m.N != 6 || m.Rev != 8 {
			t.Errorf("the next message is %+v", m)
		}
	})
}

// History goes by page in both directions, and read markers never go back.
func TestHistoryAndReadMarkers(t *testing.T) {
	on(t, func(t *testing.T, open source) {
		s := open(t)
		e := group(t, s, "a", "ann", "bob")
		picture := &store.Picture{ID: "p", Type: "image/png", Width: 1, Height: 2, Size: 3}
		must(t, s.PutPicture(t.Context(), *picture, "a", "ann", []byte("data"), []byte("thumb")))
		for i := range 10 {
			m := store.Message{Channel: "a", From: "ann", Name: "Ann", CID: fmt.Sprint(i), Text: "x", Reply: int64(i)}
			if i == 9 {
				m.Picture = picture
			}
			post(t, s, e, m)
		}
		for _, c := range []struct {
			n     int64
			after bool
			limit int
			want  string
		}{{0, false, 3, "[8 9 10]"}, {8, false, 3, "[5 6 7]"}, {2, false, 3, "[1]"}, {1, false, 3, "[]"}, {8, true, 5, "[9 10]"}, {0, true, 2, "[1 2]"}, {10, true, 2, "[]"}} {
			if got := fmt.Sprint(numbers(must2(s.History(t.Context(), "a", c.n, c.after, c.limit)))); got != c.want {
				t.Errorf("history %d after=%v limit %d: %s, want %s", c.n, c.after, c.limit, got, c.want)
			}
		}
		if list := must2(s.Get(t.Context(), "a", []int64{10, 3, 77})); fmt.Sprint(numbers(list)) != "[3 10]" || list[1].Picture == nil || *list[1].Picture != *picture {
			t.Errorf("by number: %+v", list)
		}
		p, channel, user, err := s.Picture(t.Context(), "p")
		if err != nil || p != *picture || channel != "a" || user != "ann" {
			t.Errorf("picture %+v %s %s %v", p, channel, user, err)
		}
		if data := must2(s.PictureData(t.Context(), "p", true)); string(data) != "thumb" {
			t.Errorf("thumb %q", data)
		}
		for _, n := range []int64{7, 3} {
			must(t, s.MarkRead(t.Context(), "bob", "a", n))
		}
		if seat := must2(s.Seat(t.Context(), "bob", "a")); seat.Read != 7 || seat.N != 10 {
			t.Errorf("bob's seat: %+v", seat)
		}
		if reads := must2(s.Reads(t.Context(), "a", 10)); reads["bob"] != 7 {
			t.Errorf("reads: %v", reads)
		}
		if _, _, err := change(s, store.Delete, e, store.Message{Channel: "a", N: 10}); err != nil {
			t.Fatal(err)
		}
		if _, _, _, err := s.Picture(t.Context(), "p"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("the picture of a deleted message: %v", err)
		}
	})
}

// People see the channels that are theirs, and nothing of others.
func TestSeats(t *testing.T) {
	on(t, func(t *testing.T, open source) {
		s := open(t)
		must(t, s.CreateChannel(t.Context(), store.Channel{ID: "all", Kind: store.Global, Title: "All"}, nil))
		e, _, err := s.Claim(t.Context(), "all")
		must(t, err)
		post(t, s, e, store.Message{Channel: "all", From: "x", Text: "before"})
		group(t, s, "a", "ann", "bob")
		must(t, s.CreateChannel(t.Context(), store.Channel{ID: "p", Kind: store.Private}, users(t, s, "ann", "eve")))
		if err := s.CreateChannel(t.Context(), store.Channel{ID: "p", Kind: store.Private}, nil); !errors.Is(err, store.ErrExists) {
			t.Errorf("made again: %v", err)
		}
		names := func(user string) string {
			var list []string
			for _, seat := range must2(s.Seats(t.Context(), user)) {
				list = append(list, seat.ID+":"+seat.Role)
			}
			slices.Sort(list)
			return strings.Join(list, " ")
		}
		for user, want := range map[string]string{"ann": "a:member all: p:member", "bob": "a:member all:", "eve": "all: p:member", "nobody": "all:"} {
			if got := names(user); got != want {
				t.Errorf("%s sees %s, want %s", user, got, want)
			}
		}
		for _, seat := range must2(s.Seats(t.Context(), "ann")) {
			switch {
			case seat.ID == "all" && (seat.N != 1 || seat.Read != 1):
				t.Errorf("who came later has read what was before: %+v", seat)
			case seat.ID == "p" && (seat.With == nil || seat.With.ID != "eve"):
				t.Errorf("the other one is %+v", seat.With)
			}
		}
		must(t, s.SetMember(t.Context(), "a", store.Member{User: store.User{ID: "eve"}, Role: store.Invited}))
		must(t, s.Rename(t.Context(), "a", "Renamed"))
		if seat := must2(s.Seat(t.Context(), "eve", "a")); seat.Role != store.Invited || seat.Members != 2 || seat.Title != "Renamed" {
			t.Errorf("eve's seat: %+v", seat)
		}
		must(t, s.RemoveMember(t.Context(), "a", "bob"))
		if _, err := s.Seat(t.Context(), "bob", "a"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("bob's seat: %v", err)
		}
		if list := must2(s.Members(t.Context(), "a", "ann", 10)); len(list) != 1 || list[0].ID != "eve" || list[0].Name != "EVE" {
			t.Errorf("members behind ann: %+v", list)
		}
		if found := must2(s.FindUsers(t.Context(), "ev", 5)); len(found) != 1 || found[0].ID != "eve" {
			t.Errorf("found %+v", found)
		}
	})
}

// The search finds beginnings of words in one's own channels, what was edited as it is now, and
// nothing that was deleted.
func TestSearch(t *testing.T) {
	on(t, func(t *testing.T, open source) {
		s := open(t)
		a, b := group(t, s, "a", "ann", "bob"), group(t, s, "b", "bob")
		must(t, s.SetMember(t.Context(), "b", store.Member{User: store.User{ID: "ann"}, Role: store.Invited}))
		for i, text := range []string{"The quick brown fox", "jumps over", "the lazy dog's quilt", `"quoted" OR (NOT quiet*) 'x' : & |`} {
			post(t, s, a, store.Message{Channel: "a", From: "bob", CID: fmt.Sprint(i), Text: text})
		}
		post(t, s, b, store.Message{Channel: "b", From: "bob", CID: "b", Text: "quick secret"})
		search := func(user, text string) string {
			found, _, err := s.Search(t.Context(), user, text, "", 0, 10)
			must(t, err)
			var list []string
			for _, m := range found {
				list = append(list, fmt.Sprint(m.Channel, m.N))
			}
			return strings.Join(list, " ")
		}
		for _, c := range []struct{ user, text, want string }{
			{"ann", "qui", "a4 a3 a1"}, {"bob", "qui", "b1 a4 a3 a1"}, {"ann", "QUICK fox", "a1"}, {"ann", "secret", ""}, {"nobody", "quick", ""},
			{"ann", `quoted" OR "`, "a4"}, {"ann", "* ' : ( ) & | !", ""}, {"ann", "\u0301", ""}, {"ann", "ª ١ ²", ""}, {"ann", "a\x00b", ""}, {"ann", "dog's", "a3"},
		} {
			if got := search(c.user, c.text); got != c.want {
				t.Errorf("%s finds %q for %q, want %q", c.user, got, c.text, c.want)
			}
		}
		if _, _, err := change(s, store.Edit, a, store.Message{Channel: "a", N: 1, Text: "a slow fox"}); err != nil {
			t.Fatal(err)
		}
		if _, _, err := change(s, store.Delete, a, store.Message{Channel: "a", N: 3}); err != nil {
			t.Fatal(err)
		}
		if got := search("ann", "quick") + search("ann", "quilt"); got != "" {
			t.Errorf("what is not there any more is found: %s", got)
		}
		if got := search("ann", "slow"); got != "a1" {
			t.Errorf("what was edited is found as %q", got)
		}
		found, next, err := s.Search(t.Context(), "bob", "qui", "a", 0, 1)
		if err != nil || len(found) != 1 || next == 0 {
			t.Fatalf("page: %+v %d %v", found, next, err)
		}
		if found, next, err = s.Search(t.Context(), "bob", "qui", "a", next, 5); err != nil || len(found) != 0 || next != 0 {
			t.Errorf("next page: %+v %d %v", found, next, err)
		}
	})
}

// What fails by itself undoes nothing of what is written with it, and leaves nothing.
func TestAFailureConcernsNobodyElse(t *testing.T) {
	on(t, func(t *testing.T, open source) {
		s := open(t)
		e := group(t, s, "a", "ann", "bob")
		var all sync.WaitGroup
		for i := range 50 {
			all.Go(func() {
				_, _, err := change(s, store.Post, e, store.Message{Channel: "a", From: "ann", CID: fmt.Sprint(i), Text: "x"})
				must2(0, err)
			})
			all.Go(func() {
				// The channel is made before it turns out that it is there: nothing of its members
				// stays.
				err := s.CreateChannel(t.Context(), store.Channel{ID: "a", Kind: store.Group}, []store.Member{{User: store.User{ID: "eve"}, Role: store.Owner}})
				if !errors.Is(err, store.ErrExists) {
					t.Errorf("made twice: %v", err)
				}
			})
			all.Go(func() { must2(0, s.MarkRead(t.Context(), "bob", "a", int64(i))) })
			all.Go(func() {
				if _, _, err := change(s, store.Post, e-1, store.Message{Channel: "a", From: "bob", CID: fmt.Sprint(i)}); !errors.Is(err, store.ErrNotOwner) {
					t.Errorf("of an old owner: %v", err)
				}
			})
		}
		all.Wait()
		if c := must2(s.Channel(t.Context(), "a")); c.N != 50 || c.Members != 2 {
			t.Errorf("what is there: %+v", c)
		}
		if seat := must2(s.Access(t.Context(), "bob", "a")); seat.Read != 49 || seat.N != 50 || seat.Members != 2 {
			t.Errorf("bob's seat: %+v", seat)
		}
	})
}

// Users are listed by page, and found by the beginning of their names in any case and script.
func TestUsersByPageAndName(t *testing.T) {
	on(t, func(t *testing.T, open source) {
		s := open(t)
		users(t, s, "ann", "änne", "anton", "bob", "анна", "b-1")
		var ids []string
		for after, more := "", true; more; {
			page := must2(s.ListUsers(t.Context(), after, 2))
			for _, u := range page {
				ids = append(ids, u.ID)
				after = u.ID
			}
			more = len(page) > 0
		}
		slices.Sort(ids)
		if want := []string{"ann", "anton", "b-1", "bob", "änne", "анна"}; !slices.Equal(ids, want) {
			t.Errorf("listed are %q", ids)
		}
		for begin, want := range map[string]string{"an": "ann anton", "AN": "ann anton", "Än": "änne", "Ан": "анна", "b": "b-1 bob", "b-": "b-1", "x": "", "%": ""} {
			var found []string
			for _, u := range must2(s.FindUsers(t.Context(), begin, 9)) {
				found = append(found, u.ID)
			}
			if got := strings.Join(found, " "); got != want {
				t.Errorf("%q finds %q", begin, got)
			}
		}
	})
}

// A text that no database can hold fails alone, whoever else writes at that moment, and finds
// nothing.
func TestATextThatCannotBeStored(t *testing.T) {
	on(t, func(t *testing.T, open source) {
		s := open(t)
		e := group(t, s, "a", "ann", "eve")
		var all sync.WaitGroup
		for i := range 50 {
			all.Go(func() {
				_, _, err := change(s, store.Post, e, store.Message{Channel: "a", From: "ann", CID: fmt.Sprint(i), Text: "x"})
				must2(0, err)
			})
			all.Go(func() {
				if _, _, err := change(s, store.Post, e, store.Message{Channel: "a", From: "eve", CID: fmt.Sprint(i, "\x00"), Text: "x"}); !errors.Is(err, store.ErrText) {
					t.Errorf("an id with U+0000: %v", err)
				}
			})
		}
		all.Wait()
		for _, text := range []string{"a\x00", "a\xff"} {
			for what, err := range map[string]error{
				"channel": errOf(s.Channel(t.Context(), text)), "seat": errOf(s.Access(t.Context(), "ann", text)), "history": errOf(s.History(t.Context(), text, 0, false, 9)),
				"members": errOf(s.Members(t.Context(), text, "", 9)), "epoch": errOf(s.Epoch(t.Context(), text)), "claim": errOf2(s.Claim(t.Context(), text)),
				"rows of a picture": errOf(s.PictureData(t.Context(), text, false)),
			} {
				if !errors.Is(err, store.ErrText) && !errors.Is(err, store.ErrNotFound) {
					t.Errorf("%s %q: %v", what, text, err)
				}
			}
		}
	})
}

// What one has written oneself, and what is deleted, is not unread: on no platform.
func TestOnesOwnIsNotUnread(t *testing.T) {
	on(t, func(t *testing.T, open source) {
		s := open(t)
		e := group(t, s, "a", "ann", "bob")
		for i, from := range []string{"ann", "bob", "ann", "bob", "bob"} {
			post(t, s, e, store.Message{Channel: "a", From: from, CID: fmt.Sprint(i), Text: "x"})
		}
		must2(0, errOf2(change(s, store.Delete, e, store.Message{Channel: "a", N: 4})))
		for _, c := range []struct {
			user         string
			read, unread int64
		}{{"ann", 0, 2}, {"bob", 0, 2}, {"ann", 2, 1}, {"bob", 3, 0}, {"ann", 5, 0}} {
			must(t, s.MarkRead(t.Context(), c.user, "a", c.read))
			if seat := must2(s.Seat(t.Context(), c.user, "a")); seat.Unread != c.unread {
				t.Errorf("%s has read up to %d, and has %d unread, not %d", c.user, c.read, seat.Unread, c.unread)
			}
			if n := must2(s.Unread(t.Context(), c.user, "a", c.read, 5)); n != c.unread {
				t.Errorf("%s has %d unread after %d", c.user, n, c.read)
			}
		}
		for _, seat := range must2(s.Memberships(t.Context(), "ann")) {
			if seat.ID != "a" || seat.Role != store.Plain {
				t.Errorf("ann is in %+v", seat)
			}
		}
	})
}

// A picture that two messages have is there until both are gone.
func TestAPictureOfTwoMessages(t *testing.T) {
	on(t, func(t *testing.T, open source) {
		s := open(t)
		e := group(t, s, "a", "ann")
		picture := &store.Picture{ID: "p", Type: "image/png", Width: 1, Height: 2, Size: 3}
		must(t, s.PutPicture(t.Context(), *picture, "a", "ann", []byte("data"), []byte("thumb")))
		for i := range 2 {
			post(t, s, e, store.Message{Channel: "a", From: "ann", CID: fmt.Sprint(i), Picture: picture})
		}
		for n, want := range []error{nil, store.ErrNotFound} {
			must2(0, errOf2(change(s, store.Delete, e, store.Message{Channel: "a", N: int64(n) + 1})))
			if _, err := s.PictureData(t.Context(), "p", false); !errors.Is(err, want) {
				t.Errorf("after %d of its messages are gone: %v", n+1, err)
			}
		}
	})
}
