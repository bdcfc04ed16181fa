package mesh

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/lonng/nano/internal/resume"
)

// All gates of a cluster sign the tokens of their clients with one secret, so that each believes
// what another has signed, whether that still lives or not. It is made of the cluster's token where
// there is one. Else the master makes one, and hands it to each node that registers; a master that
// was started again makes another, and gates read the tokens of both. With a Keeper and no token
// there is none: then each gate reads only its own.

// secretHeader is the metadata in which the master hands out the secret.
const secretHeader = "nano-resume-bin" //nolint:gosec // a name, no secret

// secretOf returns the secret that this node begins with, nil if it has none.
func secretOf(cfg Config) []byte {
	switch {
	case cfg.Token != "":
		h := hmac.New(sha256.New, []byte(cfg.Token))
		h.Write([]byte("nano: tokens of sessions that resume"))
		return h.Sum(nil)
	case cfg.IsMaster:
		return resume.NewSecret()
	}
	return nil
}

// handOut gives the secret to a node that has called the master.
func (n *node) handOut(ctx context.Context) {
	if n.cfg.Token == "" && n.secret != nil {
		_ = grpc.SetHeader(ctx, metadata.Pairs(secretHeader, string(n.secret))) // without it, sessions stay at their gates
	}
}

// takeSecret takes what the master has handed out.
func (n *node) takeSecret(md metadata.MD) {
	if said := md.Get(secretHeader); len(said) == 1 && n.cfg.Token == "" && n.gate != nil {
		n.gate.Trust([]byte(said[0]))
	}
}
