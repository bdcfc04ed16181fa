package pictures

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"image"
	"image/gif"
	"image/jpeg"
	"image/png"
	"testing"
)

// encoded returns a picture in a format.
func encoded(t *testing.T, encode func(b *bytes.Buffer, m image.Image) error) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := encode(&b, image.NewNRGBA(image.Rect(0, 0, 8, 6))); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// lossy and lossless are pieces of WebP pictures of one pixel.
var (
	lossy    = webpPiece("UklGRiIAAABXRUJQVlA4IBYAAAAwAQCdASoBAAEADsD+JaQAA3AAAAAA")
	lossless = webpPiece("UklGRhoAAABXRUJQVlA4TA0AAAAvAAAAEAcQERGIiP4HAA==")
)

func webpPiece(picture string) []byte {
	b, err := base64.StdEncoding.DecodeString(picture)
	if err != nil {
		panic(err)
	}
	return b[12:]
}

// webp returns a WebP of pieces. With a width it begins with a head that names a size.
func webp(flags byte, width, height int, pieces ...[]byte) []byte {
	body := []byte("WEBP")
	if width > 0 {
		head := []byte{'V', 'P', '8', 'X', 10, 0, 0, 0, flags, 0, 0, 0}
		for _, n := range []int{width - 1, height - 1} {
			head = append(head, byte(n), byte(n>>8), byte(n>>16))
		}
		body = append(body, head...)
	}
	for _, p := range pieces {
		body = append(body, p...)
	}
	return append(binary.LittleEndian.AppendUint32([]byte("RIFF"), uint32(len(body))), body...)
}

// flat is a lossless piece of one colour. It needs no bits for its pixels, however many there are.
func flat(width, height int) []byte {
	size := binary.LittleEndian.AppendUint32(nil, uint32(width-1)|uint32(height-1)<<14)
	return append(append([]byte{'V', 'P', '8', 'L', 8, 0, 0, 0, 0x2f}, size...), 0x88, 0x88, 0x08)
}

// progressive returns a grey JPEG of 8 x 8 pixels that goes over them so often. Each scan after the
// first changes nothing.
func progressive(scans int) []byte {
	b := []byte{0xff, 0xd8, 0xff, 0xdb, 0, 67, 0}
	b = append(b, bytes.Repeat([]byte{1}, 64)...)
	b = append(b, 0xff, 0xc2, 0, 11, 8, 0, 8, 0, 8, 1, 1, 0x11, 0)
	for _, table := range []byte{0x00, 0x10} { // the code 0 is the symbol 0: no difference, end of block
		b = append(b, 0xff, 0xc4, 0, 20, table, 1)
		b = append(b, make([]byte, 16)...)
	}
	first, last := byte(0), byte(0)
	for range scans {
		b = append(b, 0xff, 0xda, 0, 8, 1, 1, 0, first, last, 0, 0x7f)
		first, last = 1, 63
	}
	return append(b, 0xff, 0xd9)
}

// What is small and costs much is refused before it is decoded, and so is what a decoder cannot
// bear. What cameras and programs write is taken.
func TestPicturesCostWhatTheySay(t *testing.T) {
	alpha := append([]byte("ALPH"), 2, 0, 0, 0, 0, 0xff) // of one pixel
	for name, c := range map[string]struct {
		data []byte
		ok   bool
	}{
		"PNG":                                     {encoded(t, func(b *bytes.Buffer, m image.Image) error { return png.Encode(b, m) }), true},
		"JPEG":                                    {encoded(t, func(b *bytes.Buffer, m image.Image) error { return jpeg.Encode(b, m, nil) }), true},
		"GIF":                                     {encoded(t, func(b *bytes.Buffer, m image.Image) error { return gif.Encode(b, m, nil) }), true},
		"lossy WebP":                              {webp(0, 0, 0, lossy), true},
		"lossless WebP":                           {webp(0, 0, 0, lossless), true},
		"WebP with a head":                        {webp(0, 1, 1, lossy), true},
		"see-through WebP":                        {webp(1<<4, 1, 1, alpha, lossy), true},
		"a flat WebP":                             {webp(0, 300, 200, flat(300, 200)), true},
		"a small head before a large picture":     {webp(0, 1, 1, flat(300, 200)), false},
		"a small head before a huge picture":      {webp(0, 1, 1, flat(4096, 4096)), false},
		"a huge picture without a head":           {webp(0, 0, 0, flat(4096, 4096)), false},
		"a large head before a small picture":     {webp(0, 3000, 3000, lossy), false},
		"a head before nothing":                   {webp(0, 1, 1), false},
		"see-through by less than the picture":    {webp(1<<4, 1, 1, alpha, wide()), false},
		"progressive JPEG":                        {progressive(12), true},
		"a JPEG that goes over its pixels always": {progressive(1000), false},
	} {
		h := New(nil, nil, func() string { return "i" })
		p, thumb, err := h.look(t.Context(), c.data)
		if (err == nil) != c.ok || c.ok && (p.Width == 0 || len(thumb) == 0) {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
	}
}

// wide is a lossy piece that names a size of 64 x 64.
func wide() []byte {
	b := bytes.Clone(lossy)
	copy(b[14:18], []byte{64, 0, 64, 0})
	return b
}
