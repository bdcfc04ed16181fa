package protocol

import (
	"encoding/json"

	"github.com/lonng/nano/examples/im/store"
)

// OperatorID is the sender of messages that an operator's system posts in nobody's name. Nobody can
// sign in under an id that begins so.
const OperatorID = "@operator"

// What nodes ask each other for operators' systems.

// KeepRequest stores a push for users, or for everybody.
type KeepRequest struct {
	Push      store.Push `json:"push"`
	Users     []string   `json:"users,omitempty"`
	Everybody bool       `json:"everybody,omitempty"`
}

// AudienceRequest asks who is in channels.
type AudienceRequest struct {
	Channels []string `json:"channels"`
}

// AudienceReply is who is in channels: everybody, users, or whoever watches live rooms.
type AudienceReply struct {
	Everybody bool     `json:"everybody,omitempty"`
	Users     []string `json:"users,omitempty"`
	Live      []string `json:"live,omitempty"`
}

// OperatorChannel is a channel as operators see it.
type OperatorChannel struct {
	ID      string `json:"id"`
	Kind    string `json:"kind"`
	Title   string `json:"title"`
	Members int    `json:"members"`
	Created int64  `json:"created"`
	First   int64  `json:"first"`
	N       int64  `json:"n"`
}

// MakeRequest makes a channel, with users who need not have been here.
type MakeRequest struct {
	ID      string   `json:"id"`
	Kind    string   `json:"kind"`
	Title   string   `json:"title"`
	Owner   string   `json:"owner"`
	Members []string `json:"members"`
}

// ListRequest asks for a page of channels, or of a channel's members.
type ListRequest struct {
	Channel string `json:"channel"`
	Kind    string `json:"kind"`
	After   string `json:"after"`
	Limit   int    `json:"limit"`
}

// ChannelsReply is a page of channels.
type ChannelsReply struct {
	Channels []OperatorChannel `json:"channels"`
	Next     string            `json:"next,omitempty"`
}

// OperatorMembers is a page of members.
type OperatorMembers struct {
	Members []Person `json:"members"`
	Next    string   `json:"next,omitempty"`
}

// AdmitRequest makes users members of a group, or takes them out.
type AdmitRequest struct {
	Channel string   `json:"channel"`
	Users   []string `json:"users"`
	Role    string   `json:"role"`
}

// PostRequest posts a message in the name of a user, or of the operator.
type PostRequest struct {
	Channel  string   `json:"channel"`
	CID      string   `json:"cid"`
	Text     string   `json:"text"`
	From     string   `json:"from"`
	Mentions []string `json:"mentions"`
	Reply    int64    `json:"reply"`
}

// AnswerRequest begins a request with an idempotency key, gives it up, or stores its answer. The
// reply to the first is what is known of a request with that key: its answer, or who is at it.
type AnswerRequest struct {
	Key    string          `json:"key"`
	Sum    [32]byte        `json:"sum"`
	Status int             `json:"status"`         // 0 begins
	Body   json.RawMessage `json:"body,omitempty"` // with the status 0: the id that the request goes by, a string
	Holder string          `json:"holder,omitempty"`
	GiveUp bool            `json:"giveUp,omitempty"` // Holder cannot answer it
}

// SizesReply is how much there is in the store.
type SizesReply struct {
	Users    int64 `json:"users"`
	Channels int64 `json:"channels"`
	Messages int64 `json:"messages"`
	Waiting  int   `json:"waiting"`
	Owned    int   `json:"owned"`
}
