package cluster_test

import (
	"slices"
	"testing"

	"github.com/lonng/nano/component"
	"github.com/lonng/nano/describe"
	"github.com/lonng/nano/test/internal/apptest"
)

// A gate names the services of others, and what each node says is joined to one description.
func TestDescriptionsOfACluster(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		gate := f.Start(t, apptest.Master, new(component.Components))
		back := f.Start(t, "back:1", apptest.Handlers(apptest.SignIn()))
		apptest.Meet(t, gate, back)
		at, err := gate.Describe()
		if err != nil {
			t.Fatal(err)
		}
		there, err := back.Describe()
		if err != nil {
			t.Fatal(err)
		}
		if len(there.Services) == 0 || len(there.Elsewhere) != 0 {
			t.Fatalf("the backend says %+v", there)
		}
		var names []string
		for _, s := range there.Services {
			names = append(names, s.Name)
		}
		if slices.Sort(names); len(at.Services) != 0 || !slices.Equal(at.Elsewhere, names) {
			t.Errorf("the gate says %+v, want the names %q", at, names)
		}
		all, err := describe.Merge(at, there)
		if err != nil || len(all.Services) != len(names) || len(all.Elsewhere) != 0 {
			t.Errorf("both say %+v, %v", all, err)
		}
	})
}
