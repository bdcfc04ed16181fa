package main

import "github.com/lonng/nano/examples/arena/sim"

// What is pushed to clients.
const (
	pushRooms   = "gate.rooms"   // Overview, to who is in no room
	pushMoved   = "arena.moved"  // Empty: the room is not here any more; join again
	pushState   = "room.state"   // a snapshot, see wire.go: every tick
	pushPlayers = "room.players" // Players: who is there, and points; when they change
	pushOut     = "room.out"     // Fall
	pushTook    = "room.took"    // Taken
	pushRound   = "room.round"   // Round: one has begun, or is over
	pushTaken   = "room.taken"   // Empty: your place is played from another page now
)

// routeCodes are routes as numbers: two bytes instead of a name, in each of the messages that come
// twenty times a second. Clients learn them in the handshake.
var routeCodes = map[string]uint16{
	"room.input": 1, "room.ping": 2,
	pushState: 3, pushPlayers: 4, pushOut: 5, pushTook: 6, pushRound: 7,
}

// codeFull is the code of errors that waiting does not help against: people have to choose another
// room.
const codeFull = "full"

// Empty is a message without content.
type Empty struct{}

// LobbyReply is what one sees before one is in a room.
type LobbyReply struct {
	Gate  string `json:"gate"`
	Known bool   `json:"known"` // whether the gate has been told of the rooms: not so while the master is away
	Phone Phone  `json:"phone"`
	Overview
}

// Phone says how other devices in the same network get at the page.
type Phone struct {
	URL  string `json:"url,omitempty"`
	Flag string `json:"flag,omitempty"` // without a URL: what to start the server with, so that there is one
}

// Overview is all rooms that there are, on all backends.
type Overview struct {
	Rooms    []Listed `json:"rooms"`
	Backends []string `json:"backends"` // by name
	Round    int      `json:"round"`    // how long one is, in seconds
}

// Listed is a room in the list.
type Listed struct {
	Name    string `json:"name"`
	People  int    `json:"people"`
	Places  int    `json:"places"`
	Backend string `json:"backend"`
}

// JoinRequest asks for a place in a room. With the token of an earlier JoinReply it is the same
// place, if that was kept.
type JoinRequest struct {
	Room  string `json:"room"`
	Name  string `json:"name"`
	Token string `json:"token"`
}

// JoinReply is one's place.
type JoinReply struct {
	Room    string `json:"room"`
	Gate    string `json:"gate"`
	Backend string `json:"backend"`
	You     int    `json:"you"`   // the place
	Name    string `json:"name"`  // as the others see it
	Token   string `json:"token"` // to come back with
	Back    bool   `json:"back"`  // the place had been kept
	Round   int    `json:"round"` // how long one is, in seconds
}

// Ping is a question to the room, and Pong its answer: both say that the other one is there.
type (
	Ping struct{}
	Pong struct {
		Gate    string `json:"gate"`
		Backend string `json:"backend"`
		Room    string `json:"room"`
		Tick    uint32 `json:"tick"`
	}
)

// Players is everybody in a room.
type Players struct {
	Players []Player `json:"players"`
}

// Player is one of them.
type Player struct {
	ID     int    `json:"id"` // the place: what snapshots call a disc
	Name   string `json:"name"`
	Bot    bool   `json:"bot,omitempty"`
	Away   bool   `json:"away,omitempty"` // has no connection; a bot plays meanwhile
	Easy   bool   `json:"easy,omitempty"` // is new here: bots are kind to it in this round
	Gate   string `json:"gate,omitempty"`
	Points int    `json:"points"`
	Wins   int    `json:"wins"`
}

// Fall says who is out, and over whom: -1 for nobody.
type Fall struct {
	Who int `json:"who"`
	By  int `json:"by"`
}

// Taken says who has taken which pick-up.
type Taken struct {
	Who  int            `json:"who"`
	What sim.PickupKind `json:"what"`
}

// Round says that a round has begun, or is over and who has won it: -1 for nobody.
type Round struct {
	N      int  `json:"n"`
	Over   bool `json:"over"`
	Winner int  `json:"winner"`
}

// Claim is a backend's word that it has a room now.
type Claim struct {
	Room, Addr string
}

// Report is what a backend says of itself.
type Report struct {
	Addr, Name string
	Rooms      []Listed
	Round      int // see Overview
}
