package channels

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"strings"

	"github.com/lonng/nano"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/examples/im/protocol"
	"github.com/lonng/nano/examples/im/store"
	"github.com/lonng/nano/examples/rules"
)

// maxGroup is how many members a group has at most.
const maxGroup = 10_000

// NewID returns an id that nobody guesses, with a prefix that says what it is of.
func NewID(prefix string) string { return prefix + strings.ToLower(rand.Text()[:20]) }

// PrivateID returns the id of the private channel of two people, whichever of them asks.
func PrivateID(a, b string) string {
	if a > b {
		a, b = b, a
	}
	sum := sha256.Sum256([]byte(a + "\x00" + b))
	return "p-" + strings.ToLower(base32.StdEncoding.EncodeToString(sum[:])[:24])
}

// Create makes a group, whose owner is the caller, and invites people into it.
func (s *membership) Create(ctx context.Context, req *protocol.CreateRequest) (*protocol.Channel, error) {
	title, err := rules.Name("the title", req.Title, protocol.MaxTitle)
	if err != nil {
		return nil, err
	}
	members, err := s.invited(ctx, req.Invite, req.By.ID)
	if err != nil {
		return nil, err
	}
	id := NewID("g-")
	err = s.Make(ctx, store.Channel{ID: id, Kind: store.Group, Title: title}, append(members, store.Member{User: req.By, Role: store.Owner}))
	if err != nil {
		return nil, s.outward(err)
	}
	return s.seat(ctx, req.By.ID, id)
}

// Make makes a channel and tells its members.
func (s *membership) Make(ctx context.Context, c store.Channel, members []store.Member) error {
	if err := s.store.CreateChannel(ctx, c, members); err != nil {
		return err
	}
	s.tellMembers(ctx, c.ID, members)
	return nil
}

// tellMembers has gates enter members into a channel, and tells each how the channel looks from
// there.
func (s *membership) tellMembers(ctx context.Context, channel string, members []store.Member) {
	var enter []string
	for _, m := range members {
		if m.Role != store.Invited {
			enter = append(enter, m.ID)
		}
	}
	if len(enter) > 0 {
		s.emit(&protocol.Event{Channel: channel, Enter: enter})
	}
	for _, m := range members {
		if c, err := s.seat(ctx, m.ID, channel); err == nil {
			s.pushTo([]string{m.ID}, protocol.PushChannel, c)
		}
	}
}

// maxTold is how many of those who have come at once are named to the others.
const maxTold = 100

// tellOthers tells all in a channel who has come or has another role, and who has gone.
func (s *membership) tellOthers(about protocol.About, members []store.Member) {
	if len(members) <= maxTold {
		for _, m := range members {
			about.People = append(about.People, protocol.Person{User: m.User, Role: m.Role})
		}
	}
	s.push(about.Channel, protocol.PushAbout, about)
}

// size returns how many are in a channel, without the invited.
func (c *channel) size() (n int) {
	for _, role := range c.roles {
		if role != store.Invited {
			n++
		}
	}
	return n
}

// invited returns known users as invited members, without the one who invites.
func (s *membership) invited(ctx context.Context, ids []string, by string) ([]store.Member, error) {
	if len(ids) > protocol.MaxInvite {
		return nil, nano.Errorf(component.CodeInvalid, "at most %d people can be invited at once", protocol.MaxInvite)
	}
	users, err := s.store.Users(ctx, mentions(ids))
	if err != nil {
		return nil, s.outward(err)
	}
	members := make([]store.Member, 0, len(users))
	for _, u := range users {
		if u.ID != by {
			members = append(members, store.Member{User: u, Role: store.Invited})
		}
	}
	return members, nil
}

// seat returns a channel as a member sees it.
func (s *membership) seat(ctx context.Context, user, id string) (*protocol.Channel, error) {
	seat, err := s.store.Seat(ctx, user, id)
	if err != nil {
		return nil, s.outward(err)
	}
	return protocol.ChannelOf(&seat), nil
}

// Private returns the private channel of two people, and makes it if there is none.
func (s *membership) Private(ctx context.Context, req *protocol.PrivateRequest) (*protocol.Channel, error) {
	users, err := s.store.Users(ctx, []string{req.User})
	if err != nil {
		return nil, s.outward(err)
	}
	if len(users) == 0 || req.User == req.By.ID {
		return nil, errNotFound
	}
	id := PrivateID(req.By.ID, req.User)
	err = s.Make(ctx, store.Channel{ID: id, Kind: store.Private},
		[]store.Member{{User: req.By, Role: store.Plain}, {User: users[0], Role: store.Plain}})
	if err != nil && !errors.Is(err, store.ErrExists) {
		return nil, s.outward(err)
	}
	return s.seat(ctx, req.By.ID, id)
}

// Invite invites people into a group.
func (s *membership) Invite(ctx context.Context, req *protocol.InviteRequest) (*protocol.Empty, error) {
	members, err := s.invited(ctx, req.Users, req.By.ID)
	if err != nil {
		return nil, err
	}
	var fresh []store.Member
	size := 0
	err = s.manage(ctx, req.Channel, func(c *channel) error {
		if err := c.mayManage(req.By.ID); err != nil {
			return err
		}
		if len(c.roles)+len(members) > maxGroup {
			return nano.Errorf(component.CodeExhausted, "a group has at most %d members", maxGroup)
		}
		for _, m := range members {
			if c.roles[m.ID] == "" {
				fresh = append(fresh, m)
				c.roles[m.ID] = store.Invited
			}
		}
		size = c.size()
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &protocol.Empty{}, s.outward(s.enter(ctx, req.Channel, fresh, size))
}

// enter stores members, and tells them and the others. If that fails, what is in memory is not
// known to be right any more.
func (s *membership) enter(ctx context.Context, id string, members []store.Member, size int) error {
	for _, m := range members {
		if err := s.store.SetMember(ctx, id, m); err != nil {
			s.own(id, func(c *channel, _ error) { s.drop(c) })
			return err
		}
	}
	s.tellMembers(ctx, id, members)
	s.tellOthers(protocol.About{Channel: id, Members: size}, members)
	return nil
}

// Admit makes users members of a channel at once, without an invitation: for the operator.
func (s *membership) Admit(ctx context.Context, id string, members []store.Member) error {
	size := 0
	err := s.manage(ctx, id, func(c *channel) error {
		if c.kind != store.Group {
			return errNoGroup
		}
		if len(c.roles)+len(members) > maxGroup {
			return nano.Errorf(component.CodeExhausted, "a group has at most %d members", maxGroup)
		}
		for _, m := range members {
			c.roles[m.ID] = m.Role
		}
		size = c.size()
		return nil
	})
	if err != nil {
		return err
	}
	return s.enter(ctx, id, members, size)
}

var errNoGroup = nano.Errorf(component.CodeInvalid, "only groups have members that can be changed")

// mayManage says whether a user may change who is in a group, and its title.
func (c *channel) mayManage(user string) error {
	if err := c.mayPost(user); err != nil {
		return err
	}
	if c.kind != store.Group || rank(c.roles[user]) < rank(store.Admin) {
		return nano.Errorf(component.CodeRefused, "only the owner and admins of a group may do that")
	}
	return nil
}

// Accept makes an invited person a member.
func (s *membership) Accept(ctx context.Context, req *protocol.ChannelRequest) (*protocol.Channel, error) {
	member := []store.Member{{User: req.By, Role: store.Plain}}
	size := 0
	err := s.manage(ctx, req.Channel, func(c *channel) error {
		switch c.roles[req.By.ID] {
		case "":
			return errNotFound
		case store.Invited:
			c.roles[req.By.ID] = store.Plain
		default:
			member = nil // has accepted already
		}
		size = c.size()
		return nil
	})
	if err == nil && member != nil {
		err = s.outward(s.enter(ctx, req.Channel, member, size))
	}
	if err != nil {
		return nil, err
	}
	return s.seat(ctx, req.By.ID, req.Channel)
}

// Decline turns an invitation down.
func (s *membership) Decline(ctx context.Context, req *protocol.ChannelRequest) (*protocol.Empty, error) {
	size := 0
	err := s.manage(ctx, req.Channel, func(c *channel) error {
		if c.roles[req.By.ID] != store.Invited {
			return errNotFound
		}
		delete(c.roles, req.By.ID)
		size = c.size()
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &protocol.Empty{}, s.gone(ctx, req.Channel, req.By.ID, "declined", size)
}

// gone removes a member from the store, and tells the gates, the member and the others.
func (s *membership) gone(ctx context.Context, id, user, why string, size int) error {
	if err := s.store.RemoveMember(ctx, id, user); err != nil {
		s.own(id, func(c *channel, _ error) { s.drop(c) })
		return s.outward(err)
	}
	s.emit(&protocol.Event{Channel: id, Leave: []string{user}})
	s.pushTo([]string{user}, protocol.PushGone, protocol.Gone{Channel: id, Why: why})
	s.tellOthers(protocol.About{Channel: id, Members: size, Gone: []string{user}}, nil)
	return nil
}

// Remove takes a member out of a group.
func (s *membership) Remove(ctx context.Context, req *protocol.MemberRequest) (*protocol.Empty, error) {
	size := 0
	err := s.manage(ctx, req.Channel, func(c *channel) error {
		if err := c.mayManage(req.By.ID); err != nil {
			return err
		}
		if c.roles[req.User] == "" {
			return errNotFound
		}
		if !c.above(req.By.ID, req.User) {
			return nano.Errorf(component.CodeRefused, "that member's rank is not below yours")
		}
		delete(c.roles, req.User)
		size = c.size()
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &protocol.Empty{}, s.gone(ctx, req.Channel, req.User, "removed", size)
}

// Expel takes a member out of a group for the operator.
func (s *membership) Expel(ctx context.Context, id, user string) error {
	size := 0
	err := s.manage(ctx, id, func(c *channel) error {
		if c.kind != store.Group || c.roles[user] == "" {
			return errNotFound
		}
		delete(c.roles, user)
		size = c.size()
		return nil
	})
	if err != nil {
		return err
	}
	return s.gone(ctx, id, user, "removed", size)
}

// Role gives a member another role. Who makes another one the owner becomes an admin.
func (s *membership) Role(ctx context.Context, req *protocol.MemberRequest) (*protocol.Empty, error) {
	if rank(req.Role) == 0 {
		return nil, nano.Errorf(component.CodeInvalid, "a role is owner, admin or member")
	}
	users, err := s.store.Users(ctx, []string{req.User})
	if err != nil {
		return nil, s.outward(err)
	}
	var changed []store.Member
	size := 0
	err = s.manage(ctx, req.Channel, func(c *channel) error {
		if err := c.mayManage(req.By.ID); err != nil {
			return err
		}
		if c.roles[req.By.ID] != store.Owner {
			return nano.Errorf(component.CodeRefused, "only the owner of a group gives roles")
		}
		if rank(c.roles[req.User]) == 0 || len(users) == 0 {
			return errNotFound
		}
		if req.User == req.By.ID {
			return nano.Errorf(component.CodeInvalid, "make another member the owner instead")
		}
		c.roles[req.User] = req.Role
		changed = append(changed, store.Member{User: users[0], Role: req.Role})
		if req.Role == store.Owner {
			c.roles[req.By.ID] = store.Admin
			changed = append(changed, store.Member{User: req.By, Role: store.Admin})
		}
		size = c.size()
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &protocol.Empty{}, s.outward(s.enter(ctx, req.Channel, changed, size))
}

// Rename gives a group another title, and tells its members and those who are invited.
func (s *membership) Rename(ctx context.Context, req *protocol.RenameRequest) (*protocol.Channel, error) {
	title, err := rules.Name("the title", req.Title, protocol.MaxTitle)
	if err != nil {
		return nil, err
	}
	var invited []store.Member
	size := 0
	err = s.manage(ctx, req.Channel, func(c *channel) error {
		if err := c.mayManage(req.By.ID); err != nil {
			return err
		}
		for id, role := range c.roles {
			if role == store.Invited && len(invited) < maxTold { // others see it when they come
				invited = append(invited, store.Member{User: store.User{ID: id}, Role: role})
			}
		}
		size = c.size()
		return nil
	})
	if err != nil {
		return nil, err
	}
	if err := s.store.Rename(ctx, req.Channel, title); err != nil {
		return nil, s.outward(err)
	}
	s.tellMembers(ctx, req.Channel, invited)
	s.tellOthers(protocol.About{Channel: req.Channel, Title: title, Members: size}, nil)
	return s.seat(ctx, req.By.ID, req.Channel)
}

// Leave takes the caller out of a group. An owner's place goes to the member with the highest rank
// who has been there longest.
func (s *membership) Leave(ctx context.Context, req *protocol.ChannelRequest) (*protocol.Empty, error) {
	members, err := s.store.Members(ctx, req.Channel, "", maxGroup)
	if err != nil {
		return nil, s.outward(err)
	}
	var heir *store.Member
	size := 0
	err = s.manage(ctx, req.Channel, func(c *channel) error {
		if err := c.mayPost(req.By.ID); err != nil {
			return err
		}
		if c.kind != store.Group {
			return nano.Errorf(component.CodeInvalid, "only groups can be left")
		}
		if c.roles[req.By.ID] == store.Owner {
			heir = c.heir(members, req.By.ID)
		}
		if heir != nil {
			c.roles[heir.ID] = store.Owner
		}
		delete(c.roles, req.By.ID)
		size = c.size()
		return nil
	})
	if err != nil {
		return nil, err
	}
	if heir != nil {
		if err := s.enter(ctx, req.Channel, []store.Member{{User: heir.User, Role: store.Owner}}, size); err != nil {
			return nil, s.outward(err)
		}
	}
	return &protocol.Empty{}, s.gone(ctx, req.Channel, req.By.ID, "left", size)
}

// heir returns who follows an owner who leaves; nil if nobody is left.
func (c *channel) heir(members []store.Member, leaving string) *store.Member {
	var best *store.Member
	for i := range members {
		m := &members[i]
		r := rank(c.roles[m.ID]) // as it is now
		if m.ID == leaving || r == 0 {
			continue
		}
		if best == nil || r > rank(c.roles[best.ID]) || r == rank(c.roles[best.ID]) && m.Joined < best.Joined {
			best = m
		}
	}
	return best
}
