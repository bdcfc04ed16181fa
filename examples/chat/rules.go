package main

import "time"

// What the chat allows. Lengths are counted in runes.
const (
	maxName    = 24  // of a person or a room
	maxText    = 500 // of a message
	maxRef     = 40  // bytes of a client's own mark on a message
	maxHistory = 50  // messages kept for a room, in memory
	maxRooms   = 64  // on this server
	maxMembers = 500 // in one room
	maxJoined  = 8   // rooms that one person is in at a time
)

// How much one session may ask for: a burst, and how soon one more is allowed after it.
const (
	callBurst, callEvery = 30, 200 * time.Millisecond
	talkBurst, talkEvery = 6, 800 * time.Millisecond
	typingEvery          = time.Second

	// Who asks for still more is refused, and kicked when that does not help.
	refuseBurst, refuseEvery = 30, 2 * time.Second
)
