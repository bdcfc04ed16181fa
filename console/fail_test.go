package console

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/lonng/nano"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/internal/fault"
)

// Scripts tell by the status whether it is worth to try again: a user who is not there is another
// thing than a gate that does not answer.
func TestStatusOfAnError(t *testing.T) {
	for _, c := range []struct {
		err  error
		want int
	}{
		{component.Errorf(component.CodeInvalid, "x"), http.StatusBadRequest},
		{fmt.Errorf("kick: %w", nano.ErrOffline), http.StatusNotFound},
		{fault.New(fault.Unavailable, "cluster: a gate does not answer"), http.StatusBadGateway},
		{errors.Join(fault.New(fault.Exhausted, "gate: full")), http.StatusServiceUnavailable},
		{errors.New("x"), http.StatusInternalServerError},
	} {
		w := httptest.NewRecorder()
		if failWith(w, c.err); w.Code != c.want {
			t.Errorf("%v: %d, want %d", c.err, w.Code, c.want)
		}
	}
}
