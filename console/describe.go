package console

import (
	"cmp"
	"context"
	"encoding/base64"
	"maps"
	"net/http"
	"slices"
	"sync"

	"github.com/lonng/nano/describe"
)

// described is what the nodes take and answer, joined: the answer of api/describe.
type described struct {
	*describe.Description
	// At names a node for each service, which makes and reads its payloads: see api/encode.
	At map[string]string `json:"at"`
	// Errors say of which nodes nothing is in it, and why.
	Errors map[string]string `json:"errors,omitempty"`
}

// describe answers with what the cluster takes and answers, of which the playground makes its
// forms. In the time in which nodes are upgraded, one may differ from the rest: then it is left
// out.
func (a *api) describe(w http.ResponseWriter, r *http.Request) {
	self := a.self()
	var mu sync.Mutex
	all, errs := make(map[string]*describe.Description), make(map[string]error)
	a.everywhere(r.Context(), r.FormValue("node"), func(ctx context.Context, node string) {
		d, err := a.descriptionOf(ctx, node)
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			errs[cmp.Or(node, self)] = err
		} else {
			all[cmp.Or(node, self)] = d
		}
	})
	out := described{At: make(map[string]string), Errors: make(map[string]string)}
	for _, node := range ownFirst(all, self) {
		if err := out.add(node, all[node]); err != nil {
			errs[node] = err
		}
	}
	for node, err := range errs {
		if out.Description == nil { // there is nothing else to say
			failWith(w, err)
			return
		}
		out.Errors[node] = err.Error()
	}
	answer(w, out)
}

// descriptionOf asks a node; "" is this one, which may not have started.
func (a *api) descriptionOf(ctx context.Context, node string) (*describe.Description, error) {
	if node == "" {
		return a.app.Describe()
	}
	return a.app.Operator(node).Describe(ctx)
}

// ownFirst returns the names of the nodes, that of this node first, then sorted.
func ownFirst(all map[string]*describe.Description, self string) []string {
	names := slices.Sorted(maps.Keys(all))
	if i := slices.Index(names, self); i > 0 {
		names = slices.Insert(slices.Delete(names, i, i+1), 0, self)
	}
	return names
}

// add joins what a node says.
func (o *described) add(node string, d *describe.Description) error {
	parts := []*describe.Description{d}
	if o.Description != nil {
		parts = []*describe.Description{o.Description, d}
	}
	joined, err := describe.Merge(parts...)
	if err != nil {
		return err
	}
	o.Description = joined
	for _, s := range d.Services {
		o.At[s.Name] = cmp.Or(o.At[s.Name], node)
	}
	return nil
}

// encode makes a payload of JSON, for clients that know no types.
func (a *api) encode(w http.ResponseWriter, r *http.Request) {
	ch, ok := take(w, r)
	if !ok {
		return
	}
	payload, err := a.app.Operator(ch.Node).EncodeRequest(r.Context(), ch.Route, []byte(ch.Payload))
	if err != nil {
		failWith(w, err)
		return
	}
	answer(w, map[string][]byte{"base64": payload})
}

// decode makes JSON of an answer, or of a push.
func (a *api) decode(w http.ResponseWriter, r *http.Request) {
	ch, ok := take(w, r)
	if !ok {
		return
	}
	payload, err := base64.StdEncoding.DecodeString(ch.Base64)
	if err != nil {
		invalid(w, "base64 is not in base64")
		return
	}
	read := a.app.Operator(ch.Node).DecodeAnswer
	if ch.Push {
		read = a.app.Operator(ch.Node).DecodePush
	}
	text, err := read(r.Context(), ch.Route, payload)
	if err != nil {
		failWith(w, err)
		return
	}
	answer(w, map[string]string{"payload": string(text)})
}
