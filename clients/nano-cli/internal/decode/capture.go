package decode

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
	"github.com/gopacket/gopacket/reassembly"
)

// IsCapture tells whether data is a file of captured network packets, pcap or pcapng.
func IsCapture(data []byte) bool {
	for _, magic := range []string{
		"\x0a\x0d\x0d\x0a",                     // pcapng
		"\xd4\xc3\xb2\xa1", "\xa1\xb2\xc3\xd4", // pcap, of either order of bytes
		"\x4d\x3c\xb2\xa1", "\xa1\xb2\x3c\x4d", // with nanoseconds
	} {
		if bytes.HasPrefix(data, []byte(magic)) {
			return true
		}
	}
	return false
}

// frames is a capture file of either kind.
type frames interface {
	ReadPacketData() ([]byte, gopacket.CaptureInfo, error)
	LinkType() layers.LinkType
}

func openCapture(data []byte) (frames, error) {
	if bytes.HasPrefix(data, []byte("\x0a\x0d\x0d\x0a")) {
		return pcapgo.NewNgReader(bytes.NewReader(data), pcapgo.NgReaderOptions{WantMixedLinkType: true})
	}
	return pcapgo.NewReader(bytes.NewReader(data))
}

// maxPages bounds what is kept of a connection while a segment is missing, in pages of about 2 KB.
const maxPages = 8192

// Capture explains what both sides of each TCP connection to a port have sent, in the order of
// time; port 0 is any. The error joins an *Error for each thing that is wrong.
func (x *Explainer) Capture(data []byte, port int) error {
	x.failed, x.werr = nil, nil
	in, err := openCapture(data)
	if err != nil {
		return fmt.Errorf("capture: %w", err)
	}
	all := &conversations{port: layers.TCPPort(port)}
	tcp := reassembly.NewAssembler(reassembly.NewStreamPool(all))
	tcp.MaxBufferedPagesPerConnection = maxPages
	for {
		raw, info, err := in.ReadPacketData()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil { // what was captured until then is of use all the same
			x.failed = append(x.failed, fmt.Errorf("capture: %w", err))
			break
		}
		link := in.LinkType()
		if len(info.AncillaryData) > 0 {
			if l, ok := info.AncillaryData[0].(layers.LinkType); ok {
				link = l
			}
		}
		p := gopacket.NewPacket(raw, link, gopacket.DecodeOptions{Lazy: true, NoCopy: true})
		segment, ok := p.TransportLayer().(*layers.TCP)
		if ok && all.wants(segment) {
			tcp.AssembleWithContext(p.NetworkLayer().NetworkFlow(), segment, captured(info))
		}
	}
	tcp.FlushAll()
	if len(all.list) == 0 {
		what := "no TCP connection"
		if port != 0 {
			what += fmt.Sprintf(" to port %d", port)
		}
		return errors.Join(append(x.failed, errors.New("capture: there is "+what+" in it"))...)
	}
	own := x.Dictionary
	for i, c := range all.list {
		x.Dictionary = own
		x.conversation(i+1, c)
	}
	x.where = ""
	return x.end()
}

// captured makes the library's context of a packet's time.
type captured gopacket.CaptureInfo

// GetCaptureInfo returns it.
func (c captured) GetCaptureInfo() gopacket.CaptureInfo { return gopacket.CaptureInfo(c) }

// conversations collects connections with something in them, in the order in which they begin.
type conversations struct {
	port layers.TCPPort
	list []*conversation
}

// conversation is what was said on one connection.
type conversation struct {
	all            *conversations
	client, server string // addresses
	turned         bool   // the first packet was the server's
	late           bool   // and not that which begins a connection
	pieces         []piece
}

// piece is what one side has sent at a time.
type piece struct {
	server bool
	at     time.Time
	lost   int // bytes before it that are not in the capture; -1: nobody knows how many
	data   []byte
}

func (c *conversations) wants(t *layers.TCP) bool {
	return c.port == 0 || t.SrcPort == c.port || t.DstPort == c.port
}

// New is called by the library for a new connection. Its flow is that of the first packet that
// there is.
func (c *conversations) New(flow, transport gopacket.Flow, t *layers.TCP, _ reassembly.AssemblerContext) reassembly.Stream {
	from := address(flow.Src(), transport.Src())
	to := address(flow.Dst(), transport.Dst())
	s := &conversation{all: c, client: from, server: to, late: !t.SYN}
	switch {
	case t.SYN:
		s.turned = t.ACK
	case c.port != 0 && t.SrcPort != t.DstPort:
		s.turned = t.SrcPort == c.port
	default:
		s.turned = t.SrcPort < t.DstPort // servers have the lower one as a rule
	}
	if s.turned {
		s.client, s.server = to, from
	}
	return s
}

func address(host, port gopacket.Endpoint) string {
	return net.JoinHostPort(host.String(), port.String())
}

// Accept is called by the library before each segment: what begins in the middle is taken from
// there.
func (c *conversation) Accept(t *layers.TCP, _ gopacket.CaptureInfo, _ reassembly.TCPFlowDirection, next reassembly.Sequence, start *bool, _ reassembly.AssemblerContext) bool {
	if next < 0 && !t.SYN && len(t.Payload) > 0 {
		*start = true
	}
	return true
}

// ReassembledSG is called by the library with the next bytes of a side.
func (c *conversation) ReassembledSG(sg reassembly.ScatterGather, _ reassembly.AssemblerContext) {
	dir, _, _, lost := sg.Info()
	n, _ := sg.Lengths()
	if n == 0 && lost <= 0 {
		return
	}
	p := piece{server: (dir == reassembly.TCPDirServerToClient) != c.turned, lost: lost, data: bytes.Clone(sg.Fetch(n))}
	if n > 0 {
		p.at = sg.CaptureInfo(0).Timestamp
	}
	if len(c.pieces) == 0 {
		c.all.list = append(c.all.list, c)
	}
	c.pieces = append(c.pieces, p)
}

// ReassemblyComplete is called by the library at the end. It keeps the connection: what is captured
// twice, or late, would look like a new one.
func (c *conversation) ReassemblyComplete(reassembly.AssemblerContext) bool { return false }

// side is one direction of a connection that is being explained.
type side struct {
	name     string
	packets  flow
	raw      []byte // of a WebSocket: what is not taken apart yet
	upgrades bool   // an HTTP header comes first
	web      bool
	frames   int
	over     bool // nothing more can be told
}

// conversation explains one connection.
func (x *Explainer) conversation(n int, c *conversation) {
	x.printf("connection %d: client %s, server %s\n", n, c.client, c.server)
	sides := map[bool]*side{
		false: {name: "client", packets: flow{name: "client, packet"}},
		true:  {name: "server", packets: flow{name: "server, packet"}},
	}
	if c.late {
		x.note("its beginning is not in the capture")
	}
	var began time.Time
	first := true
	for _, p := range c.pieces {
		s := sides[p.server]
		x.where = fmt.Sprintf("connection %d, %s", n, s.name)
		switch {
		case s.over:
			continue
		case p.lost != 0:
			missing := "some bytes"
			if p.lost > 0 {
				missing = count(p.lost)
			}
			x.fail(s.packets.at+len(s.packets.rest), nil, missing+" of the "+s.name+" are not in the capture; nothing can be told of what follows")
			s.over = true
			continue
		}
		if len(p.data) == 0 {
			continue
		}
		if first {
			first, began = false, p.at
			x.detect(sides, p.data)
		}
		x.printf("%s, after %.3f ms: %s\n", s.name, float64(p.at.Sub(began).Microseconds())/1e3, count(len(p.data)))
		if s.web || s.upgrades {
			x.webSocket(s, p.data)
		} else if !s.over {
			x.feed(&s.packets, p.data)
		}
	}
	for _, server := range []bool{false, true} {
		s := sides[server]
		x.where = fmt.Sprintf("connection %d, %s", n, s.name)
		if s.over {
			continue
		}
		x.finish(&s.packets)
		if len(s.raw) > 0 {
			x.fail(s.packets.at+len(s.packets.rest), s.raw, "cut off inside "+map[bool]string{true: "the HTTP header", false: "a WebSocket frame"}[s.upgrades])
		}
	}
}

// detect looks at the first bytes of a connection. Packets begin with 1 to 5.
func (x *Explainer) detect(sides map[bool]*side, data []byte) {
	switch {
	case data[0] >= 'A' && data[0] <= 'Z':
		for _, s := range sides {
			s.upgrades = true
		}
	case data[0]&0x80 != 0: // a frame, whose first bit says that it is a message's last
		for _, s := range sides {
			s.web = true
		}
	case bytes.HasPrefix(data, []byte("\x16\x03")):
		x.fail(0, nil, "it is TLS: what is in it cannot be read")
		for _, s := range sides {
			s.over = true
		}
	}
}

// webSocket explains bytes of a WebSocket: the upgrade, the frames, and the packets in them.
func (x *Explainer) webSocket(s *side, data []byte) {
	s.raw = append(s.raw, data...)
	if s.upgrades {
		end := bytes.Index(s.raw, []byte("\r\n\r\n"))
		if end < 0 {
			return
		}
		head := string(s.raw[:end])
		for line := range strings.SplitSeq(head, "\r\n") {
			x.note(line)
		}
		if status, ok := strings.CutPrefix(head, "HTTP/1.1 "); s.name == "server" && (!ok || !strings.HasPrefix(status, strconv.Itoa(http.StatusSwitchingProtocols))) {
			x.note("no WebSocket: what follows is not shown")
			s.over, s.raw = true, nil
			return
		}
		s.raw, s.upgrades, s.web = s.raw[end+4:], false, true
	}
	for !s.over {
		f, n, wrong := nextFrame(s.raw)
		if wrong != "" {
			x.fail(s.packets.at+len(s.packets.rest), s.raw[:min(len(s.raw), 8)], wrong)
			s.over = true
		}
		if n == 0 || s.over {
			return
		}
		s.raw = s.raw[n:]
		s.frames++
		x.printf("%s, frame %d: %s\n", s.name, s.frames, f)
		switch {
		case f.op <= opBinary:
			x.feed(&s.packets, f.data)
		case len(f.data) > 0:
			x.dump(0, f.data, "its payload")
		}
	}
}
