package promnano

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/lonng/nano/metrics"
)

// histogram is a metric with the buckets of a native histogram, and with classic ones: a scrape
// gets what it asks for.
type histogram struct {
	desc    *prometheus.Desc
	h       metrics.Histogram
	started time.Time
	labels  []*dto.LabelPair
}

// Classic buckets are powers of two, from an eighth of a millisecond to 32 s: each holds whole
// native ones, so that both say the same.
const (
	classicFirst = -13
	classicLast  = 5
	perOctave    = 1 << metrics.Schema
)

// Desc returns the description.
func (m *histogram) Desc() *prometheus.Desc { return m.desc }

// Write writes the metric.
func (m *histogram) Write(out *dto.Metric) error {
	h := &dto.Histogram{
		SampleCount: proto.Uint64(m.h.Count), SampleSum: proto.Float64(m.h.Sum.Seconds()),
		Schema: proto.Int32(metrics.Schema), ZeroThreshold: proto.Float64(metrics.ZeroBound), ZeroCount: proto.Uint64(m.h.Zero),
	}
	if !m.started.IsZero() {
		h.CreatedTimestamp = timestamppb.New(m.started)
	}
	m.writeClassic(h)
	m.writeNative(h)
	out.Label, out.Histogram = m.labels, h
	return nil
}

func (m *histogram) writeClassic(h *dto.Histogram) {
	total, i := m.h.Zero, 0
	for e := classicFirst; e <= classicLast; e++ {
		for ; i < len(m.h.Counts) && m.h.First+i <= e*perOctave; i++ {
			total += m.h.Counts[i]
		}
		h.Bucket = append(h.Bucket, &dto.Bucket{UpperBound: proto.Float64(metrics.Bound(e * perOctave)), CumulativeCount: proto.Uint64(total)})
	}
}

// writeNative writes the buckets that hold something as spans, and each as its difference to the
// one before it.
func (m *histogram) writeNative(h *dto.Histogram) {
	next, before := 0, int64(0) // next is the bucket behind the last span
	for i, n := range m.h.Counts {
		if n == 0 {
			continue
		}
		at := m.h.First + i
		if len(h.PositiveSpan) == 0 || at != next {
			h.PositiveSpan = append(h.PositiveSpan, &dto.BucketSpan{Offset: proto.Int32(int32(at - next)), Length: proto.Uint32(0)})
		}
		last := h.PositiveSpan[len(h.PositiveSpan)-1]
		last.Length = proto.Uint32(last.GetLength() + 1)
		h.PositiveDelta = append(h.PositiveDelta, int64(n)-before)
		before, next = int64(n), at+1
	}
	if len(h.PositiveSpan) == 0 { // an empty span says that it is a native one
		h.PositiveSpan = []*dto.BucketSpan{{Offset: proto.Int32(0), Length: proto.Uint32(0)}}
	}
}
