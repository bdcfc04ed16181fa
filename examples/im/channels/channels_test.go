package channels_test

import (
	"errors"
	"testing"

	"github.com/lonng/nano"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/examples/im/channels"
	"github.com/lonng/nano/examples/im/protocol"
	"github.com/lonng/nano/examples/im/store"
)

// by returns who asks.
func by(id string) protocol.Asked { return protocol.Asked{By: store.User{ID: id, Name: id}} }

// Whom another owner of the channel has taken out can do nothing at a node that was the owner
// before and does not know it.
func TestAnOldOwnerLetsNobodyManage(t *testing.T) {
	s, err := store.OpenSQLite(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	for _, id := range []string{"ann", "bob", "eve"} {
		if _, err := s.PutUser(t.Context(), by(id).By); err != nil {
			t.Fatal(err)
		}
	}
	old, now := channels.New(s, func(*protocol.Event) {}), channels.New(s, func(*protocol.Event) {})
	g, err := old.Create(t.Context(), &protocol.CreateRequest{Asked: by("ann"), Title: "Team", Invite: []string{"eve"}})
	if err != nil {
		t.Fatal(err)
	}
	_, accepted := old.Accept(t.Context(), &protocol.ChannelRequest{Asked: by("eve"), Channel: g.ID})
	_, promoted := old.Role(t.Context(), &protocol.MemberRequest{Asked: by("ann"), Channel: g.ID, User: "eve", Role: store.Admin})
	_, removed := now.Remove(t.Context(), &protocol.MemberRequest{Asked: by("ann"), Channel: g.ID, User: "eve"})
	if err := errors.Join(accepted, promoted, removed); err != nil {
		t.Fatal(err)
	}
	_, invited := old.Invite(t.Context(), &protocol.InviteRequest{Asked: by("eve"), Channel: g.ID, Users: []string{"bob"}})
	_, renamed := old.Rename(t.Context(), &protocol.RenameRequest{Asked: by("eve"), Channel: g.ID, Title: "Mine"})
	for what, err := range map[string]error{"invite": invited, "rename": renamed} {
		var told *nano.Error
		if !errors.As(err, &told) || told.Code != component.CodeNotFound {
			t.Errorf("eve's %s at the old owner: %v", what, err)
		}
	}
	if _, err := s.Member(t.Context(), g.ID, "bob"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("bob is in the group: %v", err)
	}
}
