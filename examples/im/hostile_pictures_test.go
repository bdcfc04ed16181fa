package main

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/color"
	"image/png"
	"net/http"
	"strings"
	"testing"

	"github.com/lonng/nano/examples/im/channels"
	"github.com/lonng/nano/examples/im/store"
)

// picture returns a PNG of some size.
func picture(t *testing.T, width, height int) []byte {
	t.Helper()
	m := image.NewNRGBA(image.Rect(0, 0, width, height))
	for i := range width {
		m.Set(i, i%height, color.NRGBA{R: uint8(i), A: 255})
	}
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// upload sends a picture into a channel.
func (w *world) upload(token, channel, kind string, data []byte) (store.Picture, int) {
	w.t.Helper()
	var p store.Picture
	status := w.do(http.MethodPost, "/pictures?channel="+channel, bytes.NewReader(data), &p, "Content-Type", kind, "Authorization", "Bearer "+token)
	return p, status
}

// chunk is a piece of a PNG.
func chunk(kind string, data []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(data)))
	b = append(append(b, kind...), data...)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b[4:]))
}

// What is no picture, too large, or huge in pixels is refused; what is one is served as a picture
// and as nothing else.
func TestHostilePictures(t *testing.T) {
	w := newWorld(t)
	token := w.token("Ann")
	header := func(width, height uint32) []byte {
		data := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, width), height)
		return append([]byte("\x89PNG\r\n\x1a\n"), chunk("IHDR", append(data, 8, 2, 0, 0, 0))...)
	}
	for name, c := range map[string]struct {
		kind   string
		data   []byte
		status int
	}{
		"a script":              {"image/svg+xml", []byte(`<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>`), 415},
		"a page":                {"image/png", []byte("<html><script>alert(1)</script>"), 415},
		"a form":                {"multipart/form-data", picture(t, 1, 1), 415},
		"nothing":               {"image/png", nil, 415},
		"a bomb":                {"image/png", header(100_000, 100_000), 415},
		"a thin bomb":           {"image/png", header(1<<30, 1), 415},
		"more than fits":        {"image/png", header(5000, 5000), 415},
		"a picture that is cut": {"image/png", picture(t, 50, 50)[:60], 415},
		"too many bytes":        {"image/png", append(picture(t, 9, 9), make([]byte, 1<<20)...), 413},
		"1 MiB":                 {"image/png", append(picture(t, 9, 9), make([]byte, 1<<20-len(picture(t, 9, 9)))...), 200},
		"wide":                  {"image/png", picture(t, 3000, 2), 200},
	} {
		if _, status := w.upload(token, channels.GlobalID, c.kind, c.data); status != c.status {
			t.Errorf("%s is answered %d", name, status)
		}
	}
	// Nobody fills the disk.
	small, refused := picture(t, 1, 1), false
	bob := w.token("Bob")
	for i := 0; i < 100 && !refused; i++ {
		_, status := w.upload(bob, channels.GlobalID, "image/png", small)
		refused = status == http.StatusTooManyRequests
	}
	if !refused {
		t.Error("one user uploads as many pictures as there are")
	}
	evil := append(picture(t, 20, 10), "<script>alert(1)</script>"...) // a picture to some, a page to others
	p, status := w.upload(token, channels.GlobalID, "image/png", evil)
	if status != http.StatusOK {
		t.Fatal(status)
	}
	for _, path := range []string{"/pictures/" + p.ID, "/pictures/" + p.ID + "/thumb"} {
		req, err := http.NewRequest(http.MethodGet, "http://"+w.addr+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		h := resp.Header
		if !strings.HasPrefix(h.Get("Content-Type"), "image/") || h.Get("X-Content-Type-Options") != "nosniff" || !strings.Contains(h.Get("Content-Security-Policy"), "sandbox") {
			t.Errorf("%s is served with %v", path, h)
		}
	}
	for _, id := range []string{"none", "../im.db", "..%2fim.db", strings.Repeat("x", 5000)} {
		if status := w.do(http.MethodGet, "/pictures/"+id, nil, nil, "Authorization", "Bearer "+token); status == http.StatusOK {
			t.Errorf("picture %.20q: %d", id, status)
		}
	}
}
