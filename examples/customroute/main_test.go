package main

import (
	"strings"
	"testing"
)

// Players who end up in another region than their own have a bad game; players whose backend has
// ended have none.
func TestPlayersAreRoutedByRegion(t *testing.T) {
	var out strings.Builder
	if err := run(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	const want = `backends: asia/1, asia/2, europe/1

Aiko from asia    plays on asia/1
Emil from europe  plays on europe/1
Noor from africa  plays on asia/1

asia/1 is shut down

Aiko from asia    plays on asia/2
Emil from europe  plays on europe/1
Noor from africa  plays on asia/2
`
	if out.String() != want {
		t.Errorf("it prints\n%s\nwant\n%s", out.String(), want)
	}
}
