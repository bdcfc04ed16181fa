package channels

import (
	"context"

	"github.com/lonng/nano/examples/im/protocol"
	"github.com/lonng/nano/examples/im/store"
)

// PutPicture stores a picture of a user who may post in its channel.
func (s *reading) PutPicture(ctx context.Context, req *protocol.PutPictureRequest) (*protocol.Empty, error) {
	seat, err := s.mayRead(ctx, req.By.ID, req.Channel)
	if err != nil {
		return nil, err
	}
	if seat.Kind == store.Live {
		return nil, errNotFound
	}
	return &protocol.Empty{}, s.outward(s.store.PutPicture(ctx, req.Picture, req.Channel, req.By.ID, req.Data, req.Thumb))
}

// GetPicture returns a picture of a channel that the caller is in.
func (s *reading) GetPicture(ctx context.Context, req *protocol.GetPictureRequest) (*protocol.GetPictureReply, error) {
	p, channel, _, err := s.store.Picture(ctx, req.ID)
	if err != nil {
		return nil, s.outward(err)
	}
	if _, err := s.mayRead(ctx, req.By.ID, channel); err != nil {
		return nil, err
	}
	data, err := s.store.PictureData(ctx, req.ID, req.Thumb)
	if err != nil {
		return nil, s.outward(err)
	}
	return &protocol.GetPictureReply{Picture: p, Data: data}, nil
}

// Enter stores a user who signs in.
func (s *reading) Enter(ctx context.Context, req *protocol.EnterRequest) (*protocol.Empty, error) {
	_, err := s.store.PutUser(ctx, req.By)
	return &protocol.Empty{}, s.outward(err)
}

// Secret returns the secret that all gates share under a name.
func (s *reading) Secret(ctx context.Context, req *protocol.SecretRequest) (*protocol.SecretReply, error) {
	value, err := s.store.Secret(ctx, req.Name)
	if err != nil {
		return nil, s.outward(err)
	}
	return &protocol.SecretReply{Value: value}, nil
}

// Revoke has a token be good for nothing any more.
func (s *reading) Revoke(ctx context.Context, req *protocol.TokenRequest) (*protocol.Empty, error) {
	return &protocol.Empty{}, s.outward(s.store.Revoke(ctx, req.ID, req.Expires))
}

// Revoked says whether a token was revoked.
func (s *reading) Revoked(ctx context.Context, req *protocol.TokenRequest) (*protocol.TokenReply, error) {
	revoked, err := s.store.Revoked(ctx, req.ID)
	return &protocol.TokenReply{Revoked: revoked}, s.outward(err)
}
