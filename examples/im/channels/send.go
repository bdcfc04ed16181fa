package channels

import (
	"context"
	"errors"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/lonng/nano"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/examples/im/protocol"
	"github.com/lonng/nano/examples/im/store"
	"github.com/lonng/nano/examples/rules"
)

// Send stores a message and tells the members of its channel. done is called once, when the message
// is stored or cannot be. Send does not wait. It keeps the order of its calls for each channel, but
// for messages with pictures, which have to be looked up first.
func (s *posting) Send(req *protocol.SendRequest, done func(*store.Message, error)) {
	if req.Picture != "" {
		go s.send(req, done)
		return
	}
	s.send(req, done)
}

func (s *posting) send(req *protocol.SendRequest, done func(*store.Message, error)) {
	m, err := s.compose(req)
	if err != nil {
		done(nil, s.outward(err))
		return
	}
	s.own(req.Channel, func(c *channel, err error) {
		if err == nil && !req.System {
			err = c.mayPost(req.By.ID)
		}
		if err == nil {
			err = c.check(m)
		}
		if err != nil {
			done(nil, s.outward(err))
			return
		}
		c.used = time.Now()
		s.change(c, store.Post, *m, done)
	})
}

// change queues a change of a channel, and tells the members when it is stored.
func (s *posting) change(c *channel, op store.Op, m store.Message, done func(*store.Message, error)) {
	s.store.Change(&store.Change{Op: op, Epoch: c.epoch, Message: m, Done: func(m store.Message, _ bool, err error) {
		if err != nil {
			if errors.Is(err, store.ErrNotOwner) {
				s.drop(c)
			}
			done(nil, s.outward(err))
			return
		}
		// What was stored before is told again: whoever stored it may have died before it could
		// tell.
		s.push(m.Channel, protocol.PushMessage, &m)
		done(&m, nil)
	}})
}

// compose checks what does not depend on the channel. It waits for the store when there is a
// picture.
func (s *posting) compose(req *protocol.SendRequest) (*store.Message, error) {
	m := &store.Message{Channel: req.Channel, From: req.By.ID, Name: req.By.Name, CID: req.CID, Reply: req.Reply}
	if len(req.CID) > protocol.MaxCID || req.CID == "" && !req.System {
		return nil, nano.Errorf(component.CodeInvalid, "cid must have 1 to %d bytes", protocol.MaxCID)
	}
	if !utf8.ValidString(req.Text) || !utf8.ValidString(req.CID) {
		return nil, nano.Errorf(component.CodeInvalid, "the message is not UTF-8")
	}
	if req.Picture != "" {
		ctx, cancel := context.WithTimeout(context.Background(), claimTimeout)
		defer cancel()
		p, channel, user, err := s.store.Picture(ctx, req.Picture)
		if err == nil && (channel != req.Channel || user != req.By.ID) {
			err = store.ErrNotFound
		}
		if err != nil {
			return nil, err
		}
		m.Picture = &p
	}
	if req.Text != "" || m.Picture == nil {
		text, err := rules.Text("the message", req.Text, protocol.MaxText)
		if err != nil {
			return nil, err
		}
		m.Text = text
	}
	if len(req.Mentions) > protocol.MaxMentions {
		return nil, nano.Errorf(component.CodeInvalid, "a message mentions at most %d people", protocol.MaxMentions)
	}
	m.Mentions = mentions(req.Mentions)
	return m, nil
}

// mentions returns each id once.
func mentions(ids []string) []string {
	if len(ids) == 0 {
		return nil
	}
	list := slices.Clone(ids)
	slices.Sort(list)
	list = slices.Compact(list)
	return slices.DeleteFunc(list, func(id string) bool { return id == "" || len(id) > protocol.MaxID })
}

// mayPost says whether a user may post here.
func (c *channel) mayPost(user string) error {
	switch c.kind {
	case store.Global:
		return nil
	case store.Group, store.Private:
		if role := c.roles[user]; role != "" && role != store.Invited {
			return nil
		}
	}
	return errNotFound
}

// check is what compose could not know, and leaves out mentions of people who are not here.
func (c *channel) check(m *store.Message) error {
	if c.kind == store.Live {
		return nano.Errorf(component.CodeInvalid, "a live room takes live.say")
	}
	if m.Reply < 0 || m.Reply > 1<<53 {
		return nano.Errorf(component.CodeInvalid, "a message has no number %d", m.Reply)
	}
	if c.kind != store.Global {
		m.Mentions = slices.DeleteFunc(m.Mentions, func(id string) bool { return c.roles[id] == "" || c.roles[id] == store.Invited })
	}
	if len(m.Mentions) == 0 {
		m.Mentions = nil
	}
	return nil
}

// wait calls f, and returns what its done is called with.
func wait(ctx context.Context, f func(done func(*store.Message, error))) (*store.Message, error) {
	type answer struct {
		m   *store.Message
		err error
	}
	answers := make(chan answer, 1)
	f(func(m *store.Message, err error) { answers <- answer{m, err} })
	select {
	case a := <-answers:
		return a.m, a.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// SendNow is Send for those who can wait.
func (s *posting) SendNow(ctx context.Context, req *protocol.SendRequest) (*store.Message, error) {
	return wait(ctx, func(done func(*store.Message, error)) { s.Send(req, done) })
}

// Edit gives one's own message another text.
func (s *posting) Edit(ctx context.Context, req *protocol.EditRequest) (*store.Message, error) {
	text, err := rules.Text("the message", req.Text, protocol.MaxText)
	if err != nil {
		return nil, err
	}
	return s.alter(ctx, req, store.Edit, store.Message{Channel: req.Channel, N: req.N, Text: text})
}

// Delete takes away a message: one's own, or in a group that of others, for owners and admins.
func (s *posting) Delete(ctx context.Context, req *protocol.EditRequest) (*store.Message, error) {
	return s.alter(ctx, req, store.Delete, store.Message{Channel: req.Channel, N: req.N})
}

func (s *posting) alter(ctx context.Context, req *protocol.EditRequest, op store.Op, m store.Message) (*store.Message, error) {
	found, err := s.store.Get(ctx, req.Channel, []int64{req.N})
	if err != nil {
		return nil, s.outward(err)
	}
	if len(found) == 0 || found[0].Deleted && op == store.Edit {
		return nil, errNotFound
	}
	return wait(ctx, func(done func(*store.Message, error)) {
		s.own(req.Channel, func(c *channel, err error) {
			if err == nil {
				err = c.mayPost(req.By.ID)
			}
			if err == nil && found[0].From != req.By.ID && (op == store.Edit || !c.above(req.By.ID, found[0].From)) {
				err = nano.Errorf(component.CodeRefused, "the message is not yours")
			}
			if err != nil {
				done(nil, s.outward(err))
				return
			}
			m.Mentions = found[0].Mentions
			s.change(c, op, m, done)
		})
	})
}

// rank orders roles.
func rank(role string) int {
	switch role {
	case store.Owner:
		return 3
	case store.Admin:
		return 2
	case store.Plain:
		return 1
	}
	return 0
}

// above reports whether one member of a group has the say over another.
func (c *channel) above(user, other string) bool {
	r := rank(c.roles[user])
	return c.kind == store.Group && r >= rank(store.Admin) && r > rank(c.roles[other])
}

// Typing tells the others in a channel that somebody is typing, where they are few enough to care.
// It is not stored.
func (s *posting) Typing(req *protocol.TypingRequest) {
	s.own(req.Channel, func(c *channel, err error) {
		if err == nil && c.kind != store.Global && len(c.roles) <= maxReads && c.mayPost(req.By.ID) == nil {
			s.push(c.id, protocol.PushTyping, protocol.Typing{Channel: c.id, User: req.By.ID, Name: req.By.Name, Stopped: req.Stopped})
		}
	})
}
