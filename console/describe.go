package console

import (
	"net/http"

	"github.com/lonng/nano/component"
)

// describe answers with what this node takes and answers, of which the playground makes its forms.
func (a *api) describe(w http.ResponseWriter, _ *http.Request) {
	d, err := a.app.Describe()
	if err != nil {
		fail(w, http.StatusInternalServerError, component.CodeInternal, err.Error())
		return
	}
	answer(w, d)
}
