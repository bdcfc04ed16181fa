package pictures

import (
	"bytes"
	"errors"
	"fmt"
	"image"

	"golang.org/x/image/riff"
	"golang.org/x/image/vp8"
	"golang.org/x/image/vp8l"
)

// maxScans is how often a JPEG may go over its pixels. Cameras and programs write about ten scans,
// and maybe small versions of the picture beside it. A scan takes 20 bytes and may change nothing,
// so one of 1 MiB could keep a processor busy for minutes.
const maxScans = 100

// startOfScan begins a scan. Within a scan, the first byte is never followed by the second.
var startOfScan = []byte{0xff, 0xda}

// costs returns an error for a picture that costs more than its size says.
func costs(format string, data []byte, about image.Config) error {
	switch format {
	case "jpeg":
		if n := bytes.Count(data, startOfScan); n > maxScans {
			return fmt.Errorf("pictures: a JPEG of %d scans", n)
		}
	case "webp":
		return oneSize(data, about)
	}
	return nil
}

// oneSize returns an error for a WebP whose picture has another size than its head says: the head
// is what was looked at, and the picture is what the decoder makes room for.
func oneSize(data []byte, about image.Config) error {
	_, chunks, err := riff.NewReader(bytes.NewReader(data))
	if err != nil {
		return err
	}
	for {
		id, length, chunk, err := chunks.Next()
		if err != nil {
			return err // there is no picture
		}
		width, height := 0, 0
		switch id {
		case riff.FourCC{'V', 'P', '8', ' '}:
			d := vp8.NewDecoder()
			d.Init(chunk, int(length))
			frame, err := d.DecodeFrameHeader()
			if err != nil {
				return err
			}
			width, height = frame.Width, frame.Height
		case riff.FourCC{'V', 'P', '8', 'L'}:
			frame, err := vp8l.DecodeConfig(chunk)
			if err != nil {
				return err
			}
			width, height = frame.Width, frame.Height
		default:
			continue
		}
		if width != about.Width || height != about.Height {
			return errors.New("pictures: a WebP of two sizes")
		}
		return nil
	}
}
