// Package pictures takes pictures in and gives them out: to members of the channel that they belong
// to, and to nobody else.
package pictures

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	_ "image/gif" // the format
	"image/jpeg"
	"image/png"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/image/draw"
	_ "golang.org/x/image/webp" // the format

	"github.com/lonng/nano/examples/im/accounts"
	"github.com/lonng/nano/examples/im/protocol"
	"github.com/lonng/nano/examples/im/store"
	"github.com/lonng/nano/examples/rules"
)

// Bounds of a picture. What is small in bytes may be huge in pixels: the decoder is not even asked
// then.
const (
	maxPixels = 16_000_000
	thumbSide = 320
	decoders  = 2 // pictures that are decoded at a time: each may need 250 MB for a moment

	// Pictures of one user: they fill the disk faster than words.
	uploadBurst, uploadEvery = 30, 4 * time.Second
	maxUsers                 = 10_000 // who are remembered; then all are forgotten
)

// maxScans is how often a JPEG may go over its pixels. Cameras and programs write about ten scans,
// and maybe small versions of the picture beside it. A scan takes 20 bytes and may change nothing,
// so one of 1 MiB could keep a processor busy for minutes.
const maxScans = 100

// startOfScan begins a scan. Within one, the first of these bytes is never followed by the second.
var startOfScan = []byte{0xff, 0xda}

// types are the content types of the formats that are taken. SVG is none of them: it may hold
// scripts.
var types = map[string]string{"png": "image/png", "jpeg": "image/jpeg", "gif": "image/gif", "webp": "image/webp"}

// Store keeps pictures, here or on another node.
type Store interface {
	// Put stores a picture of a user who may post in the channel, and returns an error of nano's
	// for clients otherwise.
	Put(ctx context.Context, u store.User, channel string, p store.Picture, data, thumb []byte) error
	// Get returns a picture of a channel that the user is in, and store.ErrNotFound otherwise.
	Get(ctx context.Context, u store.User, id string, thumb bool) (store.Picture, []byte, error)
}

// Handler serves /pictures and what is below it.
type Handler struct {
	mux      *http.ServeMux
	accounts *accounts.Accounts
	store    Store
	newID    func() string
	decoding chan struct{}
	failures rules.Seldom // that are logged

	mu    sync.Mutex
	users map[string]*rules.Bucket // by user id
}

// New returns a handler.
func New(a *accounts.Accounts, s Store, newID func() string) *Handler {
	h := &Handler{
		mux: http.NewServeMux(), accounts: a, store: s, newID: newID,
		decoding: make(chan struct{}, decoders), users: make(map[string]*rules.Bucket),
	}
	h.mux.HandleFunc("POST /pictures", h.upload)
	h.mux.HandleFunc("GET /pictures/{id}", func(w http.ResponseWriter, r *http.Request) { h.serve(w, r, false) })
	h.mux.HandleFunc("GET /pictures/{id}/thumb", func(w http.ResponseWriter, r *http.Request) { h.serve(w, r, true) })
	return h
}

// ServeHTTP serves a request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) { accounts.Serve(h.mux, w, r) }

func (h *Handler) upload(w http.ResponseWriter, r *http.Request) {
	u, err := h.accounts.ByRequest(r)
	if err != nil {
		h.unknown(w, err)
		return
	}
	if !h.may(u.ID) {
		accounts.Fail(w, http.StatusTooManyRequests, "resource_exhausted", "too many pictures; wait a moment")
		return
	}
	if !strings.HasPrefix(r.Header.Get("Content-Type"), "image/") { // a form of another site's page cannot have that
		accounts.Fail(w, http.StatusUnsupportedMediaType, "invalid_argument", "the body must be a picture")
		return
	}
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, protocol.MaxPicture))
	if err != nil {
		accounts.Fail(w, http.StatusRequestEntityTooLarge, "invalid_argument", fmt.Sprintf("a picture has at most %d bytes", protocol.MaxPicture))
		return
	}
	p, thumb, err := h.look(r.Context(), data)
	if err != nil {
		accounts.Fail(w, http.StatusUnsupportedMediaType, "invalid_argument", "that is no PNG, JPEG, GIF or WebP, or it is too large to be shown")
		return
	}
	if err := h.store.Put(r.Context(), u, r.URL.Query().Get("channel"), p, data, thumb); err != nil {
		h.failed(w, err)
		return
	}
	accounts.Answer(w, p)
}

// may reports whether a user may upload a picture now.
func (h *Handler) may(user string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	b := h.users[user]
	if b == nil {
		if len(h.users) >= maxUsers {
			clear(h.users)
		}
		b = &rules.Bucket{}
		h.users[user] = b
	}
	return b.Take(time.Now(), uploadBurst, uploadEvery)
}

// look decodes a picture, describes it, and makes its small version. A picture at which a decoder
// panics is none.
func (h *Handler) look(ctx context.Context, data []byte) (p store.Picture, thumb []byte, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("pictures: the decoder panics: %v", r)
		}
	}()
	about, format, err := image.DecodeConfig(bytes.NewReader(data))
	if err != nil {
		return store.Picture{}, nil, err
	}
	if types[format] == "" || about.Width <= 0 || about.Height <= 0 || about.Width > maxPixels/about.Height {
		return store.Picture{}, nil, errors.New("pictures: too large, or of another format")
	}
	if format == "jpeg" && bytes.Count(data, startOfScan) > maxScans {
		return store.Picture{}, nil, errors.New("pictures: a JPEG of too many scans")
	}
	select {
	case h.decoding <- struct{}{}:
		defer func() { <-h.decoding }()
	case <-ctx.Done():
		return store.Picture{}, nil, ctx.Err()
	}
	full, _, err := image.Decode(bytes.NewReader(data))
	if err != nil {
		return store.Picture{}, nil, err
	}
	thumb, err = small(full)
	return store.Picture{ID: h.newID(), Type: types[format], Width: about.Width, Height: about.Height, Size: len(data)}, thumb, err
}

// small returns a picture that fits into a square, as PNG if it is see-through, else as JPEG.
func small(full image.Image) ([]byte, error) {
	size := full.Bounds().Size()
	scale := min(1, float64(thumbSide)/float64(max(size.X, size.Y)))
	to := image.NewNRGBA(image.Rect(0, 0, max(1, int(float64(size.X)*scale)), max(1, int(float64(size.Y)*scale))))
	draw.ApproxBiLinear.Scale(to, to.Bounds(), full, full.Bounds(), draw.Src, nil)
	var b bytes.Buffer
	if to.Opaque() {
		err := jpeg.Encode(&b, to, &jpeg.Options{Quality: 80})
		return b.Bytes(), err
	}
	err := png.Encode(&b, to)
	return b.Bytes(), err
}

// serve gives a picture out, in a way that has a browser take it for a picture and nothing else.
func (h *Handler) serve(w http.ResponseWriter, r *http.Request, thumb bool) {
	u, err := h.accounts.ByRequest(r)
	if err != nil {
		h.unknown(w, err)
		return
	}
	p, data, err := h.store.Get(r.Context(), u, r.PathValue("id"), thumb)
	if err != nil {
		h.failed(w, err)
		return
	}
	kind := p.Type
	if thumb {
		kind = http.DetectContentType(data)
	}
	header := w.Header()
	header.Set("Content-Type", kind)
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	header.Set("Cross-Origin-Resource-Policy", "same-origin")
	header.Set("Cache-Control", "private, max-age=31536000, immutable")
	if _, err := w.Write(data); err != nil { //nolint:gosec // a picture that was decoded here, with a type and a policy that run nothing
		slog.Debug("picture not sent", "err", err) // the client is gone
	}
}

// unknown answers somebody who is not signed in, or of whom that is not known right now.
func (h *Handler) unknown(w http.ResponseWriter, err error) {
	if errors.Is(err, accounts.ErrSignedOut) {
		accounts.Fail(w, http.StatusUnauthorized, "unauthenticated", "sign in first")
		return
	}
	h.failed(w, err)
}

// failed answers with what went wrong, and does not tell what is there from what is not.
func (h *Handler) failed(w http.ResponseWriter, err error) {
	if errors.Is(err, store.ErrNotFound) {
		accounts.Fail(w, http.StatusNotFound, "not_found", "there is no such thing here, or it is not yours to see")
		return
	}
	if h.failures.Now() {
		slog.Warn("picture failed", "err", err)
	}
	accounts.Fail(w, http.StatusServiceUnavailable, "unavailable", "pictures do not work right now; try again")
}
