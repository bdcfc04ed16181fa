package mesh

import (
	"context"
	"crypto/pbkdf2"
	"crypto/sha256"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

// All gates of a cluster sign the tokens of their clients with one secret, so that each believes
// what another has signed, whether that still lives or not. It is made of the cluster's token where
// there is one. Else the master makes one, and hands it to each node that registers; a master that
// was started again makes another, and gates read the tokens of both. With a Keeper and no token
// there is none: then each gate reads only its own.

// secretHeader is the metadata in which the master hands out the secret.
const secretHeader = "nano-resume-bin" //nolint:gosec // a name, no secret

const (
	secretSalt   = "nano: tokens of sessions that resume" //nolint:gosec // a salt, the same for all, is no secret
	secretRounds = 600_000                                // a quarter of a second: whoever has a client's token tries cluster tokens that slowly
)

// secretOfToken makes the secret of the cluster's token. It is slow on purpose: clients have what
// is signed with it.
func secretOfToken(token string) ([]byte, error) {
	return pbkdf2.Key(sha256.New, token, []byte(secretSalt), secretRounds, sha256.Size)
}

// trustToken has the gate sign with the secret of the cluster's token, if it signs anything.
func (n *node) trustToken() {
	if n.gate.Window() == 0 {
		return
	}
	secret, err := secretOfToken(n.cfg.Token)
	if err != nil { // in a mode that forbids short keys
		n.log.Warn("sessions of other gates do not resume here: no secret can be made of the cluster token, choose a longer one", "err", err)
		return
	}
	n.gate.Trust(secret)
}

// handOut gives the secret to a node that has called the master.
func (n *node) handOut(ctx context.Context) {
	if n.cfg.Token == "" && n.secret != nil {
		_ = grpc.SetHeader(ctx, metadata.Pairs(secretHeader, string(n.secret))) // without it, sessions stay at their gates
	}
}

// trustMaster trusts the secret that the master has handed out.
func (n *node) trustMaster(md metadata.MD) {
	if said := md.Get(secretHeader); len(said) == 1 && n.cfg.Token == "" && n.gate != nil {
		n.gate.Trust([]byte(said[0]))
	}
}
