package protocol

import "encoding/json"

// MaxBullet is how long a message in a live room is, in characters.
const MaxBullet = 120

// MaxCount is how much one message adds to a counter at most.
const MaxCount = 50

// Bullet is a message in a live room.
type Bullet struct {
	ID   string `json:"id"`
	From string `json:"from"`
	Name string `json:"name"`
	Text string `json:"text"`
	At   int64  `json:"at"`
}

// Tick is what has happened in a live room since the last one.
type Tick struct {
	Channel string           `json:"channel"`
	Bullets []Bullet         `json:"bullets,omitempty"`
	Dropped int              `json:"dropped,omitempty"`
	Counts  map[string]int64 `json:"counts,omitempty"`
	Viewers *int             `json:"viewers,omitempty"`
}

// LiveRoom is a live room in a list.
type LiveRoom struct {
	ID      string `json:"id"`
	Title   string `json:"title"`
	Viewers int    `json:"viewers"`
}

// LiveRooms are all live rooms.
type LiveRooms struct {
	Rooms []LiveRoom `json:"rooms"`
}

// RoomsRequest asks for all live rooms.
type RoomsRequest struct{ Asked }

// LiveReply is a live room as one comes in.
type LiveReply struct {
	Channel string           `json:"channel"`
	Title   string           `json:"title"`
	Viewers int              `json:"viewers"`
	Counts  map[string]int64 `json:"counts"`
	Recent  []Bullet         `json:"recent"`
	Tick    int64            `json:"tick"` // milliseconds
}

// BulletRequest says something in a live room.
type BulletRequest struct {
	Asked
	Channel string `json:"channel"`
	CID     string `json:"cid"`
	Text    string `json:"text"`
}

// CountRequest adds to a counter of a live room.
type CountRequest struct {
	Asked
	Channel string `json:"channel"`
	Key     string `json:"key"`
	Add     int64  `json:"add"`
}

// Shown tells the other nodes that run live rooms what one of them has shown; between nodes only.
type Shown struct {
	By   string          `json:"by"`   // address of the node
	Tick json.RawMessage `json:"tick"` // as it was pushed
}

// ViewersRequest says how many watch at a gate; between nodes only.
type ViewersRequest struct {
	Gate     string         `json:"gate"`
	Channels map[string]int `json:"channels"`
}
