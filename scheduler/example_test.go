package scheduler_test

import (
	"context"
	"fmt"
	"time"

	"github.com/lonng/nano/scheduler"
)

// A room with a scheduler of its own: what happens in it needs no lock.
func Example() {
	room := scheduler.New(
		scheduler.WithName("room 7"),
		scheduler.WithSlow(100*time.Millisecond, nil),
	)
	room.Start()

	players := 0
	for _, name := range []string{"ann", "bob"} {
		room.PushTask(func() {
			players++
			fmt.Println(name, "joins,", players, "in the room")
		})
	}
	over := make(chan struct{})
	room.NewAfterTimer(10*time.Millisecond, func() {
		fmt.Println("the round is over")
		close(over)
	})

	<-over
	room.Close()
	_ = room.Wait(context.Background())
	// Output:
	// ann joins, 1 in the room
	// bob joins, 2 in the room
	// the round is over
}

// getReady is met when all players are there.
type getReady struct{ missing int }

func (c *getReady) Check(time.Time) bool { c.missing--; return c.missing == 0 }

// A timer that waits for a condition.
func ExampleScheduler_NewCondTimer() {
	s := scheduler.New(scheduler.WithPrecision(time.Millisecond))
	s.Start()
	begun := make(chan struct{})
	s.NewCondTimer(&getReady{missing: 3}, func() { close(begun) })
	<-begun
	fmt.Println("the game begins")
	s.Close()
	_ = s.Wait(context.Background())
	// Output: the game begins
}

// A handler that waits for another node, while the others go on.
func ExampleScheduler_Await() {
	room := scheduler.New()
	room.Start()

	reply := make(chan int, 1)
	gold := 0
	room.PushTask(func() {
		fmt.Println("ann asks the bank")
		var got int
		room.Await(func() { got = <-reply })
		gold += got // no lock: it is this call's turn again, but others have had theirs
		fmt.Println("ann has", gold)
	})
	room.PushTask(func() {
		gold += 5
		fmt.Println("bob puts 5 into the pot")
		reply <- 10 // what the bank says, at last
	})

	room.Close()
	_ = room.Wait(context.Background())
	// Output:
	// ann asks the bank
	// bob puts 5 into the pot
	// ann has 15
}
