// Package protocol is what clients of the messenger and its nodes say to each other: PROTOCOL.md as
// types.
package protocol

import (
	"encoding/json"

	"github.com/lonng/nano/examples/im/store"
)

// What the server pushes.
const (
	PushMessage  = "im.message"  // Message
	PushChannel  = "im.channel"  // Channel
	PushAbout    = "im.about"    // About
	PushGone     = "im.gone"     // Gone
	PushHead     = "im.head"     // Head
	PushReads    = "im.reads"    // Reads
	PushTyping   = "im.typing"   // Typing
	PushPresence = "im.presence" // Presence
	PushKept     = "im.kept"     // Kept
	PushAgain    = "im.again"    // Empty: the session is at another gate now, so the client asks for im.start
	PushTick     = "live.tick"   // Tick
)

// Why a session is kicked.
const (
	KickElsewhere = "signed in elsewhere"
	KickSignedOut = "signed out"
	KickFlood     = "flood"
)

// RefuseCode is the code with which a handshake is refused when nobody is signed in.
const RefuseCode = 511

// AwayCode is the code with which a handshake is refused when it cannot be found out who that is:
// connect again later.
const AwayCode = 503

// Limits of what clients send, in characters, bytes and messages.
const (
	MaxText     = 4000
	MaxTitle    = 60
	MaxName     = 40
	MaxCID      = 40
	MaxPicture  = 1 << 20
	MaxPage     = 100
	MaxMentions = 50
	MaxInvite   = 100
	MaxID       = 128 // of a user, in bytes
	DefaultPage = 50
)

// LimitsReply tells a page what it may let people type.
type LimitsReply struct {
	Text     int `json:"text"`
	Title    int `json:"title"`
	CID      int `json:"cid"`
	Picture  int `json:"picture"`
	Page     int `json:"page"`
	Mentions int `json:"mentions"`
}

// Empty is an answer that says no more than that it was done.
type Empty struct{}

// Person is somebody in a list.
type Person struct {
	store.User
	Online bool   `json:"online,omitempty"`
	Role   string `json:"role,omitempty"`
}

// Channel is a channel as one person sees it.
type Channel struct {
	ID        string         `json:"id"`
	Kind      string         `json:"kind"`
	Title     string         `json:"title"`
	Members   int            `json:"members"`
	Role      string         `json:"role,omitempty"`
	With      *Person        `json:"with,omitempty"`
	N         int64          `json:"n"`
	Rev       int64          `json:"rev"`
	Read      int64          `json:"read"`
	Unread    int64          `json:"unread,omitempty"`
	Mentioned int            `json:"mentioned,omitempty"`
	Last      *store.Message `json:"last,omitempty"`
}

// ChannelOf returns a seat in the form in which its owner gets it.
func ChannelOf(s *store.Seat) *Channel {
	c := &Channel{
		ID: s.ID, Kind: s.Kind, Title: s.Title, Members: s.Members, Role: s.Role,
		N: s.N, Rev: s.Rev, Read: s.Read, Unread: s.Unread, Mentioned: s.Mentioned, Last: s.Last,
	}
	if s.With != nil {
		c.With = &Person{User: *s.With}
	}
	if s.Role == store.Invited {
		c.N, c.Rev, c.Read, c.Unread, c.Mentioned, c.Last = 0, 0, 0, 0, 0, nil
	}
	return c
}

// Asked says who asks. A gate fills it in: what a client writes there is not looked at.
type Asked struct {
	By store.User `json:"by"`
}

// SetBy says who asks.
func (a *Asked) SetBy(u store.User) { a.By = u }

// StartRequest asks for everything that a client needs to begin.
type StartRequest struct {
	Asked
	Platform string `json:"platform"`
	IDsOnly  bool   `json:"idsOnly"` // between nodes: no more than the channels' ids and roles
}

// StartReply is everything that a client needs to begin.
type StartReply struct {
	Me       store.User  `json:"me"`
	Platform string      `json:"platform"`
	Now      int64       `json:"now"`
	Channels []*Channel  `json:"channels"`
	Unread   int64       `json:"unread"`
	Inbox    int         `json:"inbox"`
	Limits   LimitsReply `json:"limits"`
}

// ChannelRequest names a channel.
type ChannelRequest struct {
	Asked
	Channel string `json:"channel"`
}

// SendRequest is a new message.
type SendRequest struct {
	Asked
	Channel  string   `json:"channel"`
	CID      string   `json:"cid"`
	Text     string   `json:"text"`
	Picture  string   `json:"picture"`
	Reply    int64    `json:"reply"`
	Mentions []string `json:"mentions"`
	System   bool     `json:"-"` // of the operator: it needs no membership
}

// EditRequest is a new text for a message; DeleteRequest takes it away.
type EditRequest struct {
	Asked
	Channel string `json:"channel"`
	N       int64  `json:"n"`
	Text    string `json:"text"`
}

// HistoryRequest asks for a page of messages.
type HistoryRequest struct {
	Asked
	Channel string `json:"channel"`
	Before  int64  `json:"before"`
	After   int64  `json:"after"`
	Around  int64  `json:"around"`
	Limit   int    `json:"limit"`
}

// HistoryReply is a page of messages, the oldest first.
type HistoryReply struct {
	Messages []store.Message `json:"messages"`
	First    int64           `json:"first"`
	N        int64           `json:"n"`
	Rev      int64           `json:"rev"`
}

// GetRequest asks for messages by their numbers.
type GetRequest struct {
	Asked
	Channel string  `json:"channel"`
	Numbers []int64 `json:"numbers"`
}

// SyncRequest asks for what has changed after a rev.
type SyncRequest struct {
	Asked
	Channel string `json:"channel"`
	Rev     int64  `json:"rev"`
}

// SyncReply is what has changed.
type SyncReply struct {
	Messages []store.Message `json:"messages"`
	Rev      int64           `json:"rev"`
	More     bool            `json:"more,omitempty"`
	Reset    bool            `json:"reset,omitempty"`
}

// ReadRequest says how far one has read.
type ReadRequest struct {
	Asked
	Channel string `json:"channel"`
	N       int64  `json:"n"`
}

// ReadReply says how far one has read, and what is left.
type ReadReply struct {
	Read   int64 `json:"read"`
	Unread int64 `json:"unread,omitempty"`
}

// TypingRequest says that one is typing.
type TypingRequest struct {
	Asked
	Channel string `json:"channel"`
	Stopped bool   `json:"stopped"`
}

// MembersRequest asks for members in the order of their ids.
type MembersRequest struct {
	Asked
	Channel string `json:"channel"`
	After   string `json:"after"`
	Limit   int    `json:"limit"`
}

// MembersReply is a page of members.
type MembersReply struct {
	Members []Person         `json:"members"`
	More    bool             `json:"more,omitempty"`
	Reads   map[string]int64 `json:"reads,omitempty"`
}

// PeopleRequest looks for people by the beginning of their names.
type PeopleRequest struct {
	Asked
	Find string `json:"find"`
}

// PeopleReply is who was found.
type PeopleReply struct {
	People []Person `json:"people"`
}

// CreateRequest makes a group.
type CreateRequest struct {
	Asked
	Title  string   `json:"title"`
	Invite []string `json:"invite"`
}

// PrivateRequest asks for the private channel with somebody.
type PrivateRequest struct {
	Asked
	User string `json:"user"`
}

// InviteRequest invites people into a group.
type InviteRequest struct {
	Asked
	Channel string   `json:"channel"`
	Users   []string `json:"users"`
}

// MemberRequest is about a member: to remove, or to give a role.
type MemberRequest struct {
	Asked
	Channel string `json:"channel"`
	User    string `json:"user"`
	Role    string `json:"role"`
}

// RenameRequest gives a group another title.
type RenameRequest struct {
	Asked
	Channel string `json:"channel"`
	Title   string `json:"title"`
}

// SearchRequest looks for words.
type SearchRequest struct {
	Asked
	Find    string `json:"find"`
	Channel string `json:"channel"`
	Before  int64  `json:"before"`
	Limit   int    `json:"limit"`
}

// SearchReply is what was found, the newest first.
type SearchReply struct {
	Messages []store.Message `json:"messages"`
	Next     int64           `json:"next,omitempty"`
}

// InboxRequest asks for what is kept for a user.
type InboxRequest struct {
	Asked
	Platform string `json:"platform"`
}

// KeptPush is a push that was kept.
type KeptPush struct {
	ID    string          `json:"id"`
	Route string          `json:"route"`
	Data  json.RawMessage `json:"data"`
	At    int64           `json:"at"`
}

// InboxReply is what is kept for a user.
type InboxReply struct {
	Pushes []KeptPush `json:"pushes"`
	More   bool       `json:"more,omitempty"`
}

// TakenRequest says which pushes need not be kept any more.
type TakenRequest struct {
	Asked
	Platform string   `json:"platform"`
	IDs      []string `json:"ids"`
}

// Gone says that a channel is not one's own any more.
type Gone struct {
	Channel string `json:"channel"`
	Why     string `json:"why"`
}

// About tells all in a group what has changed: who is in it, and its title.
type About struct {
	Channel string   `json:"channel"`
	Title   string   `json:"title,omitempty"` // a new one
	Members int      `json:"members"`
	People  []Person `json:"people,omitempty"` // who has come, was invited, or has another role
	Gone    []string `json:"gone,omitempty"`   // ids of who has gone
}

// Head says how far a channel is.
type Head struct {
	Channel string `json:"channel"`
	N       int64  `json:"n"`
	Rev     int64  `json:"rev"`
}

// Reads says how far people have read.
type Reads struct {
	Channel string           `json:"channel"`
	Reads   map[string]int64 `json:"reads"`
}

// Typing says that somebody is typing.
type Typing struct {
	Channel string `json:"channel"`
	User    string `json:"user"`
	Name    string `json:"name"`
	Stopped bool   `json:"stopped,omitempty"`
}

// Presence says that somebody has come or gone.
type Presence struct {
	User      string   `json:"user"`
	Online    bool     `json:"online"`
	Platforms []string `json:"platforms,omitempty"`
}

// Kept says that the push before is kept under an id.
type Kept struct {
	ID string `json:"id"`
}

// Event is what a node that runs channels tells all gates: a push for those of their sessions whom
// it concerns.
type Event struct {
	Channel   string          `json:"channel,omitempty"` // to its members
	Users     []string        `json:"users,omitempty"`   // to these only
	Everybody bool            `json:"everybody,omitempty"`
	Platforms []string        `json:"platforms,omitempty"` // none: all
	Route     string          `json:"route,omitempty"`
	Data      json.RawMessage `json:"data,omitempty"`
	Kept      string          `json:"kept,omitempty"`  // the id of a kept push
	Enter     []string        `json:"enter,omitempty"` // users who are members of Channel from now on
	Leave     []string        `json:"leave,omitempty"` // users who are not any more
	Kick      string          `json:"kick,omitempty"`  // the reason with which Users are kicked, on Platforms
	Token     string          `json:"token,omitempty"` // to those only who have signed in by the token with this id
}

// SetPlatform says from which platform an inbox is asked for.
func (r *InboxRequest) SetPlatform(platform string) { r.Platform = platform }

// SetPlatform says on which platform pushes were taken.
func (r *TakenRequest) SetPlatform(platform string) { r.Platform = platform }

// PutPictureRequest stores a picture; between nodes only, as all that follow.
type PutPictureRequest struct {
	Asked
	Channel string        `json:"channel"`
	Picture store.Picture `json:"picture"`
	Data    []byte        `json:"data"`
	Thumb   []byte        `json:"thumb"`
}

// GetPictureRequest asks for a picture, or for its small version.
type GetPictureRequest struct {
	Asked
	ID    string `json:"id"`
	Thumb bool   `json:"thumb"`
}

// GetPictureReply is a picture.
type GetPictureReply struct {
	Picture store.Picture `json:"picture"`
	Data    []byte        `json:"data"`
}

// EnterRequest stores a user who signs in.
type EnterRequest struct{ Asked }

// SecretRequest asks for the secret that all gates share under a name.
type SecretRequest struct {
	Name string `json:"name"`
}

// SecretReply is a secret.
type SecretReply struct {
	Value []byte `json:"value"`
}

// TokenRequest asks whether a token was revoked, or revokes it.
type TokenRequest struct {
	ID      string `json:"id"`
	Expires int64  `json:"expires,omitempty"` // when the token does, if it is to be revoked
}

// TokenReply says whether a token was revoked.
type TokenReply struct {
	Revoked bool `json:"revoked"`
}

// TouchRequest has a node claim channels, so that their members hear how far they are.
type TouchRequest struct {
	Channels []string `json:"channels"`
}
