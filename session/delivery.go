package session

// DeliveryClass says what may become of a push that waits because the client does not keep up, or
// because output is merged.
type DeliveryClass uint8

// The classes of delivery.
const (
	DeliverAll        DeliveryClass = iota // every message arrives: the default
	DeliverLatest                          // a newer message with the same route and key replaces one that waits
	DeliverUnlessBusy                      // the message is dropped for a client that does not keep up
)

// Delivery is how the pushes of a route are delivered. The zero value delivers every message.
// nano.WithDelivery sets it for a node; nano.Latest, nano.LatestBy and nano.DropWhenBusy make it.
type Delivery struct {
	Class DeliveryClass
	// Key tells messages of DeliverLatest apart: only one with the same key is replaced. It sees
	// the value that is pushed, on the goroutine that pushes it, and may be called from several at
	// once. A message for which it returns false is delivered like DeliverAll. A nil Key is one key
	// for the route.
	Key func(v any) (key string, ok bool)
}

// Of returns the class and the key of one message.
func (d Delivery) Of(v any) (class DeliveryClass, key string) {
	if d.Class != DeliverLatest || d.Key == nil {
		return d.Class, ""
	}
	key, ok := d.Key(v)
	if !ok {
		return DeliverAll, ""
	}
	return DeliverLatest, key
}
