package nano

import (
	"context"

	"github.com/lonng/nano/describe"
)

// payloadOf is a payload that is to be made of JSON, or JSON that is to be made of it.
type payloadOf struct {
	Route string `json:"route"`
	Push  bool   `json:"push,omitempty"` // of a push, not of an answer
	Data  []byte `json:"data"`
}

// Describe returns what the node takes and answers, as App.Describe does there. describe.Merge
// joins what several nodes say.
func (o *Operator) Describe(ctx context.Context) (*describe.Description, error) {
	d := new(describe.Description)
	if err := o.ask(ctx, askDescribe, nil, d); err != nil {
		return nil, err
	}
	return d, nil
}

// EncodeRequest has the node make the payload that a client sends to one of its routes. text is
// JSON of the schema that Describe has for it. So a tool that knows no protobuf message, or no
// serializer of the application's, can call any route. For a raw handler, text is the payload.
func (o *Operator) EncodeRequest(ctx context.Context, route string, text []byte) (payload []byte, err error) {
	err = o.ask(ctx, askEncode, payloadOf{Route: route, Data: text}, &payload)
	return payload, err
}

// DecodeAnswer has the node make JSON of an answer of one of its routes, of the schema that
// Describe has for it. Where Describe has none, or the payload is raw, the error has the code
// "not_found".
func (o *Operator) DecodeAnswer(ctx context.Context, route string, payload []byte) (text []byte, err error) {
	err = o.ask(ctx, askDecode, payloadOf{Route: route, Data: payload}, &text)
	return text, err
}

// DecodePush is DecodeAnswer for what the node pushes to a route: see component.WithPush.
func (o *Operator) DecodePush(ctx context.Context, route string, payload []byte) (text []byte, err error) {
	err = o.ask(ctx, askDecode, payloadOf{Route: route, Push: true, Data: payload}, &text)
	return text, err
}
