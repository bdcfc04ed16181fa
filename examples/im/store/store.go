// Package store keeps what the messenger must not lose: users, channels, messages, read markers,
// kept pushes and pictures. OpenSQLite keeps it in one file, for one process; OpenPostgres in a
// database that several nodes share.
//
// A channel has one owner at a time, the node that has claimed it last ([Store.Claim]). Only the
// owner changes the channel's messages ([Store.Change]). Whoever has lost the channel without
// knowing it gets [ErrNotOwner], because the database compares epochs and refuses a number that is
// taken.
package store

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"time"
)

// Errors of a store. They come wrapped: compare with errors.Is.
var (
	ErrNotFound = errors.New("store: not found")
	ErrExists   = errors.New("store: exists already")
	ErrNotOwner = errors.New("store: the channel has another owner")
	ErrBusy     = errors.New("store: too much waits to be written")
	ErrClosed   = errors.New("store: closed")
	ErrText     = errors.New("store: a text holds what cannot be stored") // not UTF-8, or U+0000
)

// Kinds of channels.
const (
	Global  = "global"  // everybody
	Group   = "group"   // its members
	Private = "private" // two people
	Live    = "live"    // whoever comes; its messages are not kept
)

// Roles of members.
const (
	Owner   = "owner"
	Admin   = "admin"
	Plain   = "member"
	Invited = "invited"
)

// UIDOf returns the number by which nano and the store know the user with that id. It is made from
// the id, so that every node knows it without asking, of users who have never been here as well.
func UIDOf(id string) int64 {
	sum := sha256.Sum256([]byte(id))
	return int64(binary.BigEndian.Uint64(sum[:8])>>1 | 1)
}

// User is a person, as others know them.
type User struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// UID returns UIDOf the user's id.
func (u User) UID() int64 { return UIDOf(u.ID) }

// Member is a person in a channel.
type Member struct {
	User
	Role   string
	Joined int64
}

// Channel is a channel and how far it has come.
type Channel struct {
	ID, Kind, Title string
	Created         int64
	Members         int   // who may read it; without the invited. 0 in global and live channels
	First, N, Rev   int64 // number of the oldest message that is kept, of the last one, and of the last change
}

// Seat is a channel as one of its members sees it.
type Seat struct {
	Channel
	Role      string
	Read      int64
	Unread    int64    // messages of others that the member has not read; exact up to 1000
	Mentioned int      // those of them that mention the member
	Last      *Message // the newest message
	With      *User    // the other member of a private channel
}

// Picture describes a stored picture.
type Picture struct {
	ID     string `json:"id"`
	Type   string `json:"type"` // image/png, ...
	Width  int    `json:"width"`
	Height int    `json:"height"`
	Size   int    `json:"size"`
}

// Message is a message of a channel, in the form in which clients get it.
type Message struct {
	Channel  string   `json:"channel"`
	N        int64    `json:"n"`    // 1, 2, 3, ... in its channel
	Rev      int64    `json:"rev"`  // of its last change, counted in its channel
	At       int64    `json:"at"`   // milliseconds since 1970
	From     string   `json:"from"` // the sender's id
	Name     string   `json:"name"` // the sender's name at that time
	CID      string   `json:"cid,omitempty"`
	Text     string   `json:"text,omitempty"`
	Picture  *Picture `json:"picture,omitempty"`
	Reply    int64    `json:"reply,omitempty"`
	Mentions []string `json:"mentions,omitempty"`
	Edited   int64    `json:"edited,omitempty"`
	Deleted  bool     `json:"deleted,omitempty"`
}

// Op says what a Change does.
type Op uint8

// What a change does.
const (
	Post   Op = iota // adds Message, and gives it its number
	Edit             // gives the message N the text and mentions of Message
	Delete           // takes text and picture from the message N
)

// Change is one change of a channel's messages.
type Change struct {
	Op      Op
	Epoch   int64 // what Claim has returned
	Message Message
	// Done is called once: with the message as it is stored, or with an error. again says that the
	// message was stored by an earlier change with the same sender and CID, in whichever channel
	// that was. The calls for one channel come in the order of its revs, on a goroutine of the
	// store that must not be held up for long.
	Done func(m Message, again bool, err error)
}

// Push is what an operator's system has sent to users, as it is kept for those who are away.
type Push struct {
	ID        string
	Route     string
	Data      json.RawMessage
	At        int64
	Expires   int64
	Platforms []string // none: all
}

// Answer is what a request with an idempotency key was answered.
type Answer struct {
	Sum    [32]byte // of the request
	Status int      // 0: it has begun; Body is the id that it goes by then
	Body   []byte
	Holder string // who is at it, while the status is 0
	Until  int64  // when another one may go on with it, if there is no answer by then
}

// Retention says which messages are removed: those older than Age, and all but the last Count of a
// channel. Zero: none.
type Retention struct {
	Age   time.Duration
	Count int64
}

// Store is what the messenger needs of a database. All methods may be called from any goroutine.
type Store interface {
	// PutUser enters a user, or gives one another name. It reports whether the user is new.
	PutUser(ctx context.Context, u User) (isNew bool, err error)
	// Users returns those of the ids that are known, in no order.
	Users(ctx context.Context, ids []string) ([]User, error)
	// FindUsers returns users whose names begin with the text, whatever its case, in the order of
	// names.
	FindUsers(ctx context.Context, text string, limit int) ([]User, error)
	// ListUsers returns users in the order of ids, those behind after.
	ListUsers(ctx context.Context, after string, limit int) ([]User, error)
	// CountUsers returns how many users there are.
	CountUsers(ctx context.Context) (int, error)

	// CreateChannel makes a channel, or returns ErrExists.
	CreateChannel(ctx context.Context, c Channel, members []Member) error
	// Channel returns a channel, or ErrNotFound.
	Channel(ctx context.Context, id string) (Channel, error)
	// Channels returns channels of a kind (all with ""), in the order of ids, those behind after.
	Channels(ctx context.Context, kind, after string, limit int) ([]Channel, error)
	// Rename gives a channel another title.
	Rename(ctx context.Context, id, title string) error
	// SetMember adds a member, or gives one another role. Who is new has read everything.
	SetMember(ctx context.Context, channel string, m Member) error
	// RemoveMember removes a member, and does nothing to others.
	RemoveMember(ctx context.Context, channel, user string) error
	// Member returns a member of a channel, or ErrNotFound.
	Member(ctx context.Context, channel, user string) (Member, error)
	// Members returns the members, in the order of ids, those behind after.
	Members(ctx context.Context, channel, after string, limit int) ([]Member, error)
	// Memberships returns the channels of a user, the global ones included: their ids, kinds and
	// the user's roles only.
	Memberships(ctx context.Context, user string) ([]Seat, error)
	// Seats returns the same channels with all that there is to know.
	Seats(ctx context.Context, user string) ([]Seat, error)
	// Seat returns a channel as a member sees it, or ErrNotFound for others.
	Seat(ctx context.Context, user, channel string) (Seat, error)

	// Access is a Seat without what takes long: the last message, what is unread, and the other
	// member. Members counts up to 1000.
	Access(ctx context.Context, user, channel string) (Seat, error)
	// Unread returns how many messages of others, up to number n, a user has not read who has read
	// up to a number.
	Unread(ctx context.Context, user, channel string, read, n int64) (int64, error)

	// Claim makes the caller the owner of the channel, and returns the epoch for its changes.
	Claim(ctx context.Context, channel string) (epoch int64, c Channel, err error)
	// Epoch returns the epoch of the last Claim.
	Epoch(ctx context.Context, channel string) (int64, error)
	// Change queues a change, and returns at once. Many changes are committed together.
	Change(c *Change)

	// History returns up to limit messages, the oldest first: those before a number (0: the
	// newest), or those after it.
	History(ctx context.Context, channel string, n int64, after bool, limit int) ([]Message, error)
	// Get returns the messages with these numbers that exist.
	Get(ctx context.Context, channel string, numbers []int64) ([]Message, error)
	// Since returns up to limit messages that have changed after rev, in the order of revs.
	Since(ctx context.Context, channel string, rev int64, limit int) ([]Message, error)
	// Search finds words, or beginnings of words, in the channels that the user is a member of, the
	// newest first. cursor is 0 at first, then what was returned, which is 0 when there is no more.
	Search(ctx context.Context, user, text, channel string, cursor int64, limit int) (found []Message, next int64, err error)

	// MarkRead notes how far a user has read. It never goes back.
	MarkRead(ctx context.Context, user, channel string, n int64) error
	// Reads returns how far the members of a channel have read, of at most limit of them.
	Reads(ctx context.Context, channel string, limit int) (map[string]int64, error)

	// Keep stores a push: once for its id, with a reference for each of the users, or for everybody
	// who is a user now.
	Keep(ctx context.Context, p Push, users []string, everybody bool) error
	// Inbox returns what is kept for a user and not expired, the oldest first.
	Inbox(ctx context.Context, user, platform string, now int64, limit int) ([]Push, error)
	// Taken removes pushes from the inbox of a user: what everybody gets, on this platform.
	Taken(ctx context.Context, user, platform string, ids []string) error

	// PutPicture stores a picture and its small version for the members of a channel.
	PutPicture(ctx context.Context, p Picture, channel, user string, data, thumb []byte) error
	// Picture returns a picture without its bytes, and the channel that it belongs to.
	Picture(ctx context.Context, id string) (p Picture, channel, user string, err error)
	// PictureData returns the bytes of a picture, or of its small version.
	PictureData(ctx context.Context, id string, thumb bool) ([]byte, error)

	// Secret returns the 32 random bytes that are kept under a name. The first call makes them.
	Secret(ctx context.Context, name string) ([]byte, error)
	// Reserve begins a request with an idempotency key: it remembers fresh, if nothing is
	// remembered under the key, or that has expired. If the same request was begun, and its holder
	// has given it up or has not answered in time, fresh.Holder goes on with it, under the id that
	// it has. Reserve returns what is remembered then. Of several holders that call it at once, one
	// is that of the result.
	Reserve(ctx context.Context, key string, fresh Answer, now, expires int64) (Answer, error)
	// Release gives up a request that its holder has begun and cannot answer.
	Release(ctx context.Context, key, holder string) error
	// Remember stores the answer to a request with an idempotency key.
	Remember(ctx context.Context, key string, a Answer, expires int64) error

	// Revoke has the token with that id be good for nothing any more. It is remembered until the
	// token would have expired.
	Revoke(ctx context.Context, id string, expires int64) error
	// Revoked reports whether a token was revoked.
	Revoked(ctx context.Context, id string) (bool, error)

	// Sweep removes what is over its time: messages, pushes, answers, revoked tokens, pictures that
	// no message has.
	Sweep(ctx context.Context, now time.Time, r Retention) (removed int64, err error)
	// Sizes returns how many users, channels and messages there are; messages may be an estimate.
	Sizes(ctx context.Context) (users, channels, messages int64, err error)
	// Waiting returns how many changes wait to be committed.
	Waiting() int
	// Ping reports whether the database answers.
	Ping(ctx context.Context) error
	// Close commits what is queued and closes the database.
	Close() error
}
