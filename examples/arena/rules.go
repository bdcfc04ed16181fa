package main

import "time"

// What is allowed. Lengths are counted in runes.
const (
	maxName  = 16  // of a person or a room
	maxRooms = 100 // on one backend
	maxToken = 64  // bytes

	kindRounds = 2 // for so many rounds of theirs bots are kind to people

	// How long a round may be.
	minRound, maxRound = 6 * time.Second, 10 * time.Minute

	// What a client may ask of a gate or a hall: a burst, and how soon one more is allowed after
	// it.
	callBurst, callEvery = 20, 250 * time.Millisecond

	// What it may send into a room. A page sends 20 inputs a second, and now and then some that
	// have waited.
	playBurst, playEvery = 60, time.Second / 30
	// Who sends so many more than that is taken out.
	maxRefused = 300
)
