// Package client is a client of nano's servers for programs in Go: tests,
// bots, tools, gateways.
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
// The schemes of addresses are tcp, tls, ws and wss. Payloads are JSON unless
// [WithSerializer] says otherwise; a []byte is a payload already and is sent as
// it is, and *[]byte takes one as it came.
//
// # Pushes
//
// Handlers ([Client.On], [On]) run one after the other, in the order in which
// the pushes came, on a goroutine that exists while there is something to
// handle. So a handler may call anything, requests too, and holds up only the
// pushes behind it. What waits for handlers is bounded: see [WithPushQueue].
// [Channel] gives the pushes of a route to a channel.
//
// Pushes that come before there is a handler for them are counted and lost. To
// have handlers from the first push on, register them between [New] and
// [Client.Connect].
//
// # The end
//
// [Client.Close] begins the end and waits for what was sent to go out, but for no
// handler: any function may call it, handlers too. [Client.Shutdown] also waits for
// the last handler, and for the server to have taken all that was sent; a program
// calls it before it takes down what its handlers use. [Client.Done] tells of the
// end, and [Client.Err] why it came.
//
// # Losing the connection
//
// A lost connection ends the client unless [WithReconnect] was given: a new
// connection is a new session on the server, and only the application knows
// what it takes to be somebody again. With it, the client comes back after
// whatever happens to a connection, and after the node's own kicks, which are for
// its shutdown and for a slow consumer. A refused handshake and any other kick
// are the end; for kicks [Reconnect] lets the application decide. Handlers stay,
// requests in flight fail with [ErrLost] (whether the server has run them is not
// known), requests made meanwhile wait, at most for [WithAwayWait], and the
// function of [WithSetup] signs in before they go on.
//
// # What the server says
//
// The handshake's answer ([Client.Info]) says how large packets may be: what is
// larger fails at the call, for sent it would end the connection. It says under
// which version the server's dictionary of routes can be kept; on reconnection,
// and with [WithDictionary], it is sent again only if it has changed.
//
// # Cost
//
// A connection with nothing to do holds one goroutine, which reads, and its
// read buffer. There is no ticker, and no timer a request: the server's silence
// is a deadline on the connection, requests without a deadline of their own
// share one timer. [Client.Start] needs no goroutine for each request in flight.
// A program of thousands of clients may bring an event loop that reads for all
// of them: see [EventConn].
//
// What it does not do: no compression of what is sent, no HTTP proxies (bring a
// dial function, [WithDialer]), no resuming of a session.
package client
