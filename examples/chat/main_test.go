package main

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
)

// served runs the chat as the command does, and returns the address that it prints.
func served(t *testing.T) string {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	out, print := io.Pipe()
	done := make(chan error, 1)
	go func() { done <- run(ctx, "127.0.0.1:0", print) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run returned %v", err)
		}
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	address := regexp.MustCompile(`http://127\.0\.0\.1:\d+`).FindString(line)
	if address == "" || strings.HasSuffix(address, ":0") {
		t.Fatalf("it prints %q, want an address to open", line)
	}
	return address
}

// answer is what the tests look at of a response.
type answer struct {
	status int
	header http.Header
	body   string
}

func get(t *testing.T, url string, header http.Header) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header = header
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	a := answer{status: resp.StatusCode, header: resp.Header}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		a.body = string(body)
	}
	return a
}

// The printed address must be one that opens, with everything that the page needs and nothing that
// its policy forbids.
func TestThePageIsServed(t *testing.T) {
	address := served(t)
	page := get(t, address, http.Header{})
	if kind := page.header.Get("Content-Type"); page.status != http.StatusOK || !strings.HasPrefix(kind, "text/html") {
		t.Fatalf("got %d, %s", page.status, kind)
	}
	if csp := page.header.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'self'") {
		t.Errorf("Content-Security-Policy is %q", csp)
	}
	if inline := regexp.MustCompile(`(?i)<style|<script[^>]*>[^<]|\s(?:style|on\w+)=`).FindString(page.body); inline != "" {
		t.Errorf("the page holds %q, which its policy forbids", inline)
	}
	links := regexp.MustCompile(`(?:src|href)="([^"#]+)"`).FindAllStringSubmatch(page.body, -1)
	if len(links) < 3 {
		t.Errorf("%d files are linked", len(links))
	}
	for _, link := range links {
		file := get(t, address+"/"+link[1], http.Header{})
		if file.status != http.StatusOK || file.body == "" {
			t.Errorf("%s: %d, %d bytes", link[1], file.status, len(file.body))
		}
		// Asked again, the browser is told that it has it already.
		again := get(t, address+"/"+link[1], http.Header{"If-None-Match": {file.header.Get("ETag")}})
		if again.status != http.StatusNotModified {
			t.Errorf("%s asked again: %d", link[1], again.status)
		}
	}
	if none := get(t, address+"/main.go", http.Header{}); none.status != http.StatusNotFound {
		t.Errorf("a file that is not there: %d", none.status)
	}
}

// A page of another site could otherwise chat in the name of whoever looks at it.
func TestOnlyItsOwnPagesConnect(t *testing.T) {
	address := served(t)
	for _, c := range []struct {
		name, origin string
		want         int
	}{
		{"own page", address, http.StatusSwitchingProtocols},
		{"no browser", "", http.StatusSwitchingProtocols},
		{"another site", "https://example.com", http.StatusForbidden},
		{"another port", "http://127.0.0.1:1", http.StatusForbidden},
		{"a file", "null", http.StatusForbidden},
	} {
		t.Run(c.name, func(t *testing.T) {
			header := http.Header{
				"Connection": {"Upgrade"}, "Upgrade": {"websocket"},
				"Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="},
			}
			if c.origin != "" {
				header.Set("Origin", c.origin)
			}
			if got := get(t, address+"/nano", header); got.status != c.want {
				t.Errorf("got %d, want %d", got.status, c.want)
			}
		})
	}
}

// Told to use an address that is taken, the command must say so and end.
func TestAPortInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := run(t.Context(), l.Addr().String(), io.Discard); err == nil {
		t.Error("no error")
	}
}
