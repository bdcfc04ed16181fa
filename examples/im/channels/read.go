package channels

import (
	"context"
	"slices"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/examples/im/protocol"
	"github.com/lonng/nano/examples/im/store"
)

// Bounds of answers.
const (
	maxFound  = 20   // people of one search
	syncPage  = 200  // changes of one answer
	maxBehind = 2000 // changes; who has missed more begins with the newest page
	inboxPage = 100
)

// Start returns everything that a client needs to begin.
func (s *reading) Start(ctx context.Context, req *protocol.StartRequest) (*protocol.StartReply, error) {
	list := s.store.Seats
	if req.IDsOnly {
		list = s.store.Memberships
	}
	seats, err := list(ctx, req.By.ID)
	if err != nil {
		return nil, s.outward(err)
	}
	reply := &protocol.StartReply{Me: req.By, Platform: req.Platform, Now: time.Now().UnixMilli(), Limits: protocol.LimitsReply{
		Text: protocol.MaxText, Title: protocol.MaxTitle, CID: protocol.MaxCID, Picture: protocol.MaxPicture,
		Page: protocol.MaxPage, Mentions: protocol.MaxMentions,
	}}
	reply.Channels = make([]*protocol.Channel, 0, len(seats))
	for i := range seats {
		c := protocol.ChannelOf(&seats[i])
		reply.Unread += c.Unread
		reply.Channels = append(reply.Channels, c)
	}
	if !req.IDsOnly {
		inbox, err := s.store.Inbox(ctx, req.By.ID, req.Platform, reply.Now, inboxPage)
		if err != nil {
			return nil, s.outward(err)
		}
		reply.Inbox = len(inbox)
	}
	return reply, nil
}

// mayRead returns how far the channel and a member are, or an error for who may not read it.
func (s *reading) mayRead(ctx context.Context, user, id string) (*store.Seat, error) {
	seat, err := s.store.Access(ctx, user, id)
	if err != nil {
		return nil, s.outward(err)
	}
	if seat.Role == store.Invited {
		return nil, errNotFound
	}
	return &seat, nil
}

// page returns a limit within what is allowed.
func page(limit int) int {
	if limit <= 0 {
		return protocol.DefaultPage
	}
	return min(limit, protocol.MaxPage)
}

// History returns a page of messages.
func (s *reading) History(ctx context.Context, req *protocol.HistoryRequest) (*protocol.HistoryReply, error) {
	seat, err := s.mayRead(ctx, req.By.ID, req.Channel)
	if err != nil {
		return nil, err
	}
	return s.historyOf(ctx, &seat.Channel, req)
}

// historyOf is History for those who may read the channel.
func (s *reading) historyOf(ctx context.Context, c *store.Channel, req *protocol.HistoryRequest) (*protocol.HistoryReply, error) {
	limit := page(req.Limit)
	var list []store.Message
	var err error
	switch {
	case req.Around > 0:
		var before []store.Message
		if before, err = s.store.History(ctx, c.ID, req.Around, false, limit/2); err == nil {
			list, err = s.store.History(ctx, c.ID, req.Around-1, true, limit-limit/2)
			list = append(before, list...)
		}
	case req.After > 0:
		list, err = s.store.History(ctx, c.ID, req.After, true, limit)
	default:
		list, err = s.store.History(ctx, c.ID, req.Before, false, limit)
	}
	if err != nil {
		return nil, s.outward(err)
	}
	return &protocol.HistoryReply{Messages: notNil(list), First: c.First, N: c.N, Rev: c.Rev}, nil
}

// Page is History for the operator, who may read everything.
func (s *reading) Page(ctx context.Context, req *protocol.HistoryRequest) (*protocol.HistoryReply, error) {
	c, err := s.store.Channel(ctx, req.Channel)
	if err != nil {
		return nil, s.outward(err)
	}
	return s.historyOf(ctx, &c, req)
}

// notNil returns an empty list for none, which is [] in JSON.
func notNil[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// Get returns messages by their numbers.
func (s *reading) Get(ctx context.Context, req *protocol.GetRequest) (*protocol.HistoryReply, error) {
	if len(req.Numbers) > protocol.MaxPage {
		return nil, nano.Errorf(component.CodeInvalid, "at most %d messages can be asked for at once", protocol.MaxPage)
	}
	seat, err := s.mayRead(ctx, req.By.ID, req.Channel)
	if err != nil {
		return nil, err
	}
	list, err := s.store.Get(ctx, req.Channel, req.Numbers)
	if err != nil {
		return nil, s.outward(err)
	}
	return &protocol.HistoryReply{Messages: notNil(list), First: seat.First, N: seat.N, Rev: seat.Rev}, nil
}

// Sync returns what has changed after a rev.
func (s *reading) Sync(ctx context.Context, req *protocol.SyncRequest) (*protocol.SyncReply, error) {
	seat, err := s.mayRead(ctx, req.By.ID, req.Channel)
	if err != nil {
		return nil, err
	}
	if req.Rev < 0 || req.Rev > seat.Rev || seat.Rev-req.Rev > maxBehind {
		// A rev that is not reached yet is of a store that was lost: nothing that the client has is
		// right.
		return &protocol.SyncReply{Messages: []store.Message{}, Rev: seat.Rev, Reset: req.Rev != seat.Rev}, nil
	}
	list, err := s.store.Since(ctx, req.Channel, req.Rev, syncPage+1)
	if err != nil {
		return nil, s.outward(err)
	}
	reply := &protocol.SyncReply{Rev: max(seat.Rev, req.Rev)}
	if len(list) > syncPage {
		list = list[:syncPage]
		reply.More = true
		reply.Rev = list[syncPage-1].Rev
	} else if len(list) > 0 {
		reply.Rev = max(reply.Rev, list[len(list)-1].Rev)
	}
	reply.Messages = notNil(list)
	return reply, nil
}

// Read notes how far the caller has read, and tells the others where that is of interest.
func (s *reading) Read(ctx context.Context, req *protocol.ReadRequest) (*protocol.ReadReply, error) {
	seat, err := s.mayRead(ctx, req.By.ID, req.Channel)
	if err != nil {
		return nil, err
	}
	n := min(req.N, seat.N)
	if n > seat.Read {
		if err := s.store.MarkRead(ctx, req.By.ID, req.Channel, n); err != nil {
			return nil, s.outward(err)
		}
		reads := protocol.Reads{Channel: req.Channel, Reads: map[string]int64{req.By.ID: n}}
		if seat.Kind == store.Global || seat.Members > maxReads {
			s.pushTo([]string{req.By.ID}, protocol.PushReads, reads)
		} else {
			s.push(req.Channel, protocol.PushReads, reads)
		}
	}
	n = max(n, seat.Read)
	unread, err := s.store.Unread(ctx, req.By.ID, req.Channel, n, seat.N)
	if err != nil {
		return nil, s.outward(err)
	}
	return &protocol.ReadReply{Read: n, Unread: unread}, nil
}

// maxReads is up to how many members a channel tells who has read what, and who is typing.
const maxReads = 200

// inPages returns who is in a channel, in the order of ids, those behind after.
func (s *registry) inPages(ctx context.Context, c *store.Channel, after string, limit int) ([]store.Member, error) {
	if c.Kind != store.Global {
		return s.store.Members(ctx, c.ID, after, limit)
	}
	users, err := s.store.ListUsers(ctx, after, limit)
	members := make([]store.Member, len(users))
	for i, u := range users {
		members[i] = store.Member{User: u, Role: store.Plain}
	}
	return members, err
}

// Members returns a page of members.
func (s *reading) Members(ctx context.Context, req *protocol.MembersRequest) (*protocol.MembersReply, error) {
	seat, err := s.mayRead(ctx, req.By.ID, req.Channel)
	if err != nil {
		return nil, err
	}
	limit := page(req.Limit)
	list, err := s.inPages(ctx, &seat.Channel, req.After, limit+1)
	if err != nil {
		return nil, s.outward(err)
	}
	reply := &protocol.MembersReply{Members: make([]protocol.Person, 0, len(list)), More: len(list) > limit}
	for _, m := range list[:min(limit, len(list))] {
		reply.Members = append(reply.Members, protocol.Person{User: m.User, Role: m.Role})
	}
	if seat.Members <= maxReads && (seat.Kind == store.Group || seat.Kind == store.Private) {
		if reply.Reads, err = s.store.Reads(ctx, req.Channel, maxReads); err != nil {
			return nil, s.outward(err)
		}
	}
	return reply, nil
}

// People finds people by the beginning of their names.
func (s *reading) People(ctx context.Context, req *protocol.PeopleRequest) (*protocol.PeopleReply, error) {
	users, err := s.store.FindUsers(ctx, req.Find, maxFound)
	if err != nil {
		return nil, s.outward(err)
	}
	people := make([]protocol.Person, len(users))
	for i, u := range users {
		people[i].User = u
	}
	return &protocol.PeopleReply{People: people}, nil
}

// Search finds words in the caller's channels.
func (s *reading) Search(ctx context.Context, req *protocol.SearchRequest) (*protocol.SearchReply, error) {
	if len(req.Find) > 4*protocol.MaxTitle {
		return nil, nano.Errorf(component.CodeInvalid, "the search is too long")
	}
	list, next, err := s.store.Search(ctx, req.By.ID, req.Find, req.Channel, req.Before, page(req.Limit))
	if err != nil {
		return nil, s.outward(err)
	}
	return &protocol.SearchReply{Messages: notNil(list), Next: next}, nil
}

// Inbox returns what is kept for the caller.
func (s *reading) Inbox(ctx context.Context, req *protocol.InboxRequest) (*protocol.InboxReply, error) {
	list, err := s.store.Inbox(ctx, req.By.ID, req.Platform, time.Now().UnixMilli(), inboxPage+1)
	if err != nil {
		return nil, s.outward(err)
	}
	reply := &protocol.InboxReply{Pushes: []protocol.KeptPush{}, More: len(list) > inboxPage}
	for _, p := range slices.Clip(list[:min(len(list), inboxPage)]) {
		reply.Pushes = append(reply.Pushes, protocol.KeptPush{ID: p.ID, Route: p.Route, Data: p.Data, At: p.At})
	}
	return reply, nil
}

// Taken removes pushes from the caller's inbox.
func (s *reading) Taken(ctx context.Context, req *protocol.TakenRequest) (*protocol.Empty, error) {
	if len(req.IDs) > inboxPage {
		return nil, nano.Errorf(component.CodeInvalid, "at most %d pushes can be confirmed at once", inboxPage)
	}
	return &protocol.Empty{}, s.outward(s.store.Taken(ctx, req.By.ID, req.Platform, req.IDs))
}
