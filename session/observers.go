package session

import "slices"

// fewObservers is up to how many observers are found by looking at each of them.
const fewObservers = 16

// observers are those that a session tells, in the order in which they came.
// Adding and removing one takes the same time however many there are: a session
// may be in very many groups.
type observers struct {
	list []Observer       // a removed one leaves nil behind where at is used
	at   map[Observer]int // places in list; nil while there are few
}

// index returns the place of o, -1 if there is none.
func (l *observers) index(o Observer) int {
	if l.at == nil {
		return slices.Index(l.list, o)
	}
	if i, ok := l.at[o]; ok {
		return i
	}
	return -1
}

func (l *observers) add(o Observer) {
	if l.index(o) >= 0 {
		return
	}
	l.list = append(l.list, o)
	switch {
	case l.at != nil:
		l.at[o] = len(l.list) - 1
	case len(l.list) > fewObservers:
		l.pack()
	}
}

func (l *observers) remove(o Observer) {
	i := l.index(o)
	switch {
	case i < 0:
	case l.at == nil:
		l.list = slices.Delete(l.list, i, i+1)
	default:
		delete(l.at, o)
		l.list[i] = nil
		if len(l.at) < len(l.list)/2 {
			l.pack()
		}
	}
}

// pack closes the gaps, and makes the map of the places if it is needed.
func (l *observers) pack() {
	l.list = slices.Clip(l.all())
	l.at = nil
	if len(l.list) <= fewObservers {
		return
	}
	l.at = make(map[Observer]int, len(l.list))
	for i, o := range l.list {
		l.at[o] = i
	}
}

// all returns a copy. Of nil it has none.
func (l *observers) all() []Observer {
	if l == nil {
		return nil
	}
	n := len(l.list)
	if l.at != nil {
		n = len(l.at)
	}
	all := make([]Observer, 0, n)
	for _, o := range l.list {
		if o != nil {
			all = append(all, o)
		}
	}
	return all
}
