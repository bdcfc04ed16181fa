package scheduler

// timerHeap is a binary heap of timers by deadline and, for equal ones, by age.
// Each timer knows its place, so that a stopped one is removed at once.
type timerHeap []*Timer

// notQueued is the index of a timer that is not in the heap.
const notQueued = -1

func (h timerHeap) less(a, b *Timer) bool {
	if a.deadline != b.deadline {
		return a.deadline < b.deadline
	}
	return a.id < b.id
}

func (h *timerHeap) push(t *Timer) {
	t.index = len(*h)
	*h = append(*h, t)
	h.up(t.index)
}

// remove takes out the timer at place i.
func (h *timerHeap) remove(i int) {
	old := *h
	last := len(old) - 1
	old[i].index = notQueued
	moved := old[last]
	old[last] = nil
	*h = old[:last]
	if i == last {
		return
	}
	old[i] = moved
	moved.index = i
	h.fix(i)
}

// fix restores the order after the deadline of the timer at place i changed.
func (h *timerHeap) fix(i int) {
	if !h.down(i) {
		h.up(i)
	}
}

func (h timerHeap) up(i int) {
	t := h[i]
	for i > 0 {
		parent := (i - 1) / 2
		if !h.less(t, h[parent]) {
			break
		}
		h[i] = h[parent]
		h[i].index = i
		i = parent
	}
	h[i] = t
	t.index = i
}

func (h timerHeap) down(i int) bool {
	t, from := h[i], i
	for {
		child := 2*i + 1
		if child >= len(h) {
			break
		}
		if right := child + 1; right < len(h) && h.less(h[right], h[child]) {
			child = right
		}
		if !h.less(h[child], t) {
			break
		}
		h[i] = h[child]
		h[i].index = i
		i = child
	}
	h[i] = t
	t.index = i
	return i > from
}
