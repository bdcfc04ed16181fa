package gen_test

import (
	"context"
	"log/slog"
	"reflect"
	"testing"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/clients/client"
	"github.com/lonng/nano/clients/nano-cli/internal/gen/shop"
	"github.com/lonng/nano/serialize/json"
)

// What is generated talks to the node that it was generated from, and loses nothing on the way.
func TestGeneratedClient(t *testing.T) {
	started := make(chan string, 8)
	app := nano.New("127.0.0.1:0", nano.WithComponents(goods(started)), nano.WithSerializer(json.NewSerializer()), nano.WithSlog(slog.New(slog.DiscardHandler)))
	if err := app.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := app.Shutdown(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	}()
	c, err := client.Dial(t.Context(), "tcp://"+app.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	sold, names, bytes := make(chan *shop.Thing, 1), make(chan []string, 1), make(chan []byte, 1)
	shop.OnSold(c, func(msg *shop.Thing) { sold <- msg })
	shop.OnShopNames(c, func(msg []string) { names <- msg })
	remove := shop.OnShopBytes(c, func(msg []byte) { bytes <- append([]byte{}, msg...) })
	defer remove()

	ctx, owner := t.Context(), "Ada"
	want := &shop.Thing{
		Name: "box", Color: "red", Price: 1.5, Count: -3, Big: 1 << 63, Sold: true, Data: []byte{0, 255},
		Made: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC), At: [2]float64{1, 2}, Parts: []*shop.Thing{nil, {Color: "green"}},
		Tags: []string{"x"}, Notes: map[string]string{"a": "b"}, Better: &shop.Thing{}, Owner: &owner, More: "m", Wait: int64(time.Second),
	}
	want.Odd.AB = 7
	got, err := shop.ShopBuy(ctx, c, want)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v\nwant %+v", got, err, want)
	}
	if msg := <-sold; !reflect.DeepEqual(msg, want) {
		t.Errorf("the push is %+v", msg)
	}
	if list, err := shop.ShopList(ctx, c, &shop.Empty{}); err != nil || !reflect.DeepEqual(list, []string{"a", "b"}) {
		t.Errorf("the list is %v, %v", list, err)
	}
	if n, b := <-names, <-bytes; !reflect.DeepEqual(n, []string{"c"}) || string(b) != "\x01\x02" {
		t.Errorf("the pushes are %v and %v", n, b)
	}
	if err := shop.ShopLook(ctx, c, []string{"p", "q"}); err != nil || <-started != "p q" {
		t.Errorf("the notify: %v", err)
	}
	if err := shop.ShopAnyNotify(ctx, c, map[string]any{"a": 1}); err != nil || <-started != "any" {
		t.Errorf("the other notify: %v", err)
	}
	reply := map[string]any{}
	if err := shop.ShopAny(ctx, c, map[string]any{"a": "b"}, &reply); err != nil || reply["a"] != "b" {
		t.Errorf("the request whose answer is not known: %v, %v", reply, err)
	}
	if raw, err := shop.ShopRaw(ctx, c, []byte{1, 0}); err != nil || string(raw) != "\x01\x00" {
		t.Errorf("the raw request: %v, %v", raw, err)
	}
}
