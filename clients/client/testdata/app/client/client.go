// Package client is an application's own, with a type and methods named like those of nano's
// client.
package client

// Client has the names of nano's Client.
type Client struct{ Work func() }

// Run does the work inside of methods that nano's client has too.
func (c *Client) Run() { c.dispatch() }

func (c *Client) dispatch() { c.setup() }

func (c *Client) setup() { c.callback() }

func (c *Client) callback() { c.Work() }
