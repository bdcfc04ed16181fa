package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// Whoever reaches the probes' address can neither hold connections for good nor have large headers
// read.
func TestProbesAreBounded(t *testing.T) {
	s := httptest.NewUnstartedServer(nil)
	s.Config = newServer(http.NotFoundHandler())
	s.Start()
	defer s.Close()
	if c := s.Config; c.ReadTimeout == 0 || c.WriteTimeout == 0 || c.IdleTimeout == 0 {
		t.Errorf("a deadline is missing: read %v, write %v, idle %v", c.ReadTimeout, c.WriteTimeout, c.IdleTimeout)
	}
	for bytes, want := range map[int]int{1 << 10: http.StatusNotFound, 100 << 10: http.StatusRequestHeaderFieldsTooLarge} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Long", strings.Repeat("x", bytes))
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("a header of %d bytes is answered with %d, want %d", bytes, resp.StatusCode, want)
		}
	}
}
