// Package client is a client of nano's servers for programs in Go: tests, bots, tools, gateways.
//
//	c, err := client.Dial(ctx, "ws://127.0.0.1:3251/nano")
//	if err != nil {
//		return err
//	}
//	defer c.Close()
//
//	client.On(c, "onMessage", func(m *Message) { fmt.Println(m.Text) })
//	joined, err := client.Call[JoinReply](ctx, c, "Room.Join", &JoinRequest{Name: "ann"})
//
// The schemes of addresses are tcp, tls, ws and wss. Payloads are JSON unless [WithSerializer] says
// otherwise. A []byte is a payload already and is sent as it is; *[]byte takes one as it came.
//
// # Pushes
//
// Handlers ([Client.On], [On]) run one after the other, in the order in which the pushes came, on a
// goroutine that exists while there is something to handle. So a handler may call anything,
// requests too, and holds up only the pushes behind it. [WithPushQueue] bounds what waits for
// handlers. [Channel] gives the pushes of a route to a channel.
//
// Pushes that come before they have a handler are counted and lost. To have handlers from the first
// push on, register them between [New] and [Client.Connect].
//
// # The end
//
// [Client.Close] begins the end and waits until what was sent has gone out. It waits for no
// handler, so any function may call it, handlers too. [Client.Shutdown] also waits until the server
// has taken what was sent and the last handler has returned: call it before the program takes down
// what its handlers use. [Client.Done] tells of the end, and [Client.Err] why it came.
//
// # Losing the connection
//
// Where the server resumes sessions, a client whose connection is lost comes back to its session,
// with or without [WithReconnect], as long as the server keeps it. What is sent meanwhile is kept,
// requests in flight get their answers, and no message is lost or doubled, unless a server has
// died. If the session is gone when the client comes back, the client has a new one. [Change] tells
// all this apart, and [WithoutResume] turns it off.
//
// Without a session to come back to, a lost connection ends the client, because a new connection is
// a new session on the server, and only the application knows how to sign in again. With
// [WithReconnect] the client connects again after whatever happens to a connection, and after the
// node's own kicks, for its shutdown and for a slow consumer. A refused handshake and any other
// kick end the client; for kicks [Reconnect] lets the application decide. A server that refuses a
// handshake with the code 503 wants the client to try again.
//
// Handlers stay. If the session does not go on, requests in flight fail with [ErrLost], and it is
// not known whether the server has run them. Requests made while there is no session wait, at most
// for the time of [WithAwayWait], and go on after the function of [WithSetup] has signed in.
//
// # What the server says
//
// The answer to the handshake ([Client.Info]) says how large packets may be. What is larger fails
// at the call, because it would end the connection if it were sent. The answer also says under
// which version the client can keep the server's dictionary of routes. On reconnection, and with
// [WithDictionary], the server sends the dictionary only if it has changed.
//
// # Cost
//
// A connection with nothing to do holds one goroutine, which reads, and its buffer. There is no
// ticker and no timer for each request: the server's silence is a deadline on the connection, and
// requests without a deadline of their own share one timer. [Client.Start] needs no goroutine for
// each request in flight. A program of thousands of clients may bring an event loop that reads for
// all of them: see [EventConn].
//
// What the package does not do: it does not compress what it sends, and it uses no HTTP proxy,
// unless [WithDialer] brings one.
package client
