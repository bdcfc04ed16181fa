package metrics

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"
)

// of makes the histogram of durations.
func of(all ...time.Duration) Histogram {
	counts := make([]uint64, LastBucket-FirstBucket+1)
	var zero uint64
	var sum time.Duration
	for _, d := range all {
		sum += d
		if i, ok := Bucket(d); ok {
			counts[i-FirstBucket]++
		} else {
			zero++
		}
	}
	return NewHistogram(sum, zero, FirstBucket, counts)
}

// A duration in the wrong bucket makes every alert on it wrong: at each bound, and right beside it.
func TestEachDurationIsInItsBucket(t *testing.T) {
	check := func(d time.Duration) {
		t.Helper()
		i, ok := Bucket(d)
		switch s := d.Seconds(); {
		case s <= ZeroBound:
			if ok {
				t.Errorf("%v is in bucket %d, and counts as none", d, i)
			}
		case !ok:
			t.Errorf("%v counts as none", d)
		case i < FirstBucket || i > LastBucket:
			t.Errorf("%v is in bucket %d", d, i)
		case i < LastBucket && s > Bound(i) || s <= Bound(i-1):
			t.Errorf("%v is in bucket %d, from %v to %v", d, i, Bound(i-1), Bound(i))
		}
	}
	for i := FirstBucket - 1; i <= LastBucket; i++ {
		at := time.Duration(Bound(i) * float64(time.Second))
		check(at - 1)
		check(at)
		check(at + 1)
	}
	for range 100_000 {
		check(time.Duration(rand.Int64N(1 << (1 + rand.IntN(62)))))
	}
	for _, d := range []time.Duration{math.MinInt64, -1, 0, 1, math.MaxInt64} {
		check(d)
	}
	for s, want := range map[time.Duration]int{time.Second / 2: -4, time.Second: 0, 2 * time.Second: 4, time.Second + 1: 1} {
		if i, _ := Bucket(s); i != want {
			t.Errorf("%v is in bucket %d, want %d", s, i, want)
		}
	}
}

// Quantiles are known to the width of a bucket.
func TestQuantile(t *testing.T) {
	for range 200 {
		all := make([]time.Duration, 1+rand.IntN(2000))
		for i := range all {
			all[i] = time.Duration(rand.ExpFloat64() * float64(10*time.Millisecond))
		}
		h := of(all...)
		slices.Sort(all)
		for _, q := range []float64{0, 0.01, 0.5, 0.9, 0.99, 1} {
			exact := all[max(int(math.Ceil(q*float64(len(all))))-1, 0)]
			got := h.Quantile(q)
			if low, high := float64(exact)/1.19-1000, float64(exact)*1.19+1000; float64(got) < low || float64(got) > high {
				t.Fatalf("the quantile %v of %d is %v, want %v", q, len(all), got, exact)
			}
		}
	}
	if got := (Histogram{}).Quantile(0.5); got != 0 {
		t.Errorf("the median of nothing is %v", got)
	}
	if got := of(time.Second, 2*time.Second).Quantile(math.NaN()); got != 0 {
		t.Errorf("the quantile NaN is %v", got)
	}
	if got := of(time.Hour).Quantile(0.5); got > 256*time.Second {
		t.Errorf("what is beyond the last bucket has the quantile %v", got)
	}
}

// What a console shows of the last minute is a difference.
func TestSubAndAdd(t *testing.T) {
	early := of(time.Nanosecond, time.Millisecond, time.Second)
	late := of(time.Nanosecond, time.Millisecond, time.Second, time.Microsecond, time.Minute, time.Minute)
	between := of(time.Microsecond, time.Minute, time.Minute)
	if got := late.Sub(early); !reflect.DeepEqual(got, between) {
		t.Errorf("the difference is %+v, want %+v", got, between)
	}
	if got := early.Add(between); !reflect.DeepEqual(got, late) {
		t.Errorf("the sum is %+v, want %+v", got, late)
	}
	if got := between.Add(early); !reflect.DeepEqual(got, late) {
		t.Errorf("the sum is %+v, want %+v", got, late)
	}
	if got := early.Sub(late); !reflect.DeepEqual(got, early) {
		t.Errorf("of a node that was started again: %+v, want %+v", got, early)
	}
	none := Histogram{}
	if got := none.Add(early); !reflect.DeepEqual(got, early) {
		t.Errorf("with nothing: %+v", got)
	}
	if got := early.Sub(early); got.Count != 0 || got.Sum != 0 || got.Counts != nil {
		t.Errorf("less itself: %+v", got)
	}
	if early.Mean() != (time.Nanosecond+time.Millisecond+time.Second)/3 || none.Mean() != 0 {
		t.Errorf("the means are %v and %v", early.Mean(), none.Mean())
	}
}

// A node's figures go to other nodes and to scripts as JSON.
func TestSnapshotSurvivesJSON(t *testing.T) {
	want := Snapshot{
		Node: "a:1", At: time.Unix(1, 2).UTC(), Routes: []Route{{Name: "r.R", Messages: Messages{Requests: 2, Errors: map[string]uint64{"internal": 1}}, Handler: of(time.Millisecond)}},
		Schedulers: []Scheduler{{Name: "s", Kind: SchedulerOfNode}}, Groups: Groups{Largest: []Group{{Name: "g"}}},
		Health: Health{Reasons: []Reason{{Code: ReasonDraining, Text: "x"}}},
	}
	b, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got Snapshot
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

func BenchmarkBucket(b *testing.B) {
	n := 0
	for i := range b.N {
		at, _ := Bucket(time.Duration(i&0xffff) * 37)
		n += at
	}
	_ = n
}
