package workers

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/outbox"
)

type metrics struct {
	outcomes  *prometheus.CounterVec
	durations *prometheus.HistogramVec
	swept     *prometheus.CounterVec
	missed    *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer, db *database.DB) (*metrics, error) {
	m := &metrics{
		outcomes: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "channelgraph_job_outcomes_total",
			Help: "Runs of jobs by kind and outcome: done, retried, dead, lost to another worker, or stale hand-overs."}, []string{"kind", "outcome"}),
		durations: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "channelgraph_job_duration_seconds",
			Help: "How long handlers took, by kind.", Buckets: []float64{.001, .005, .02, .1, .5, 2, 10, 60, 600}}, []string{"kind"}),
		swept: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "channelgraph_job_swept_total",
			Help: "Stuck jobs that the sweeper gave back or buried."}, []string{"class"}),
		missed: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "channelgraph_periodic_missed_total",
			Help: "Moments of periodic work that collapsed into a later one."}, []string{"name"}),
	}
	if reg == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.outcomes, m.durations, m.swept, m.missed, &depth{db: db}} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// depth asks the database how the outbox stands when it is scraped.
type depth struct{ db *database.DB }

var (
	depthDesc  = prometheus.NewDesc("channelgraph_outbox_jobs", "Jobs that are due by queue: waiting in the table, queued in Redis, running.", []string{"queue", "state"}, nil)
	oldestDesc = prometheus.NewDesc("channelgraph_outbox_oldest_seconds", "Age of the row that has been due longest and does not run yet.", nil, nil)
	deadDesc   = prometheus.NewDesc("channelgraph_outbox_dead", "Jobs that have failed for good and wait for a person.", nil, nil)
)

// Describe implements prometheus.Collector.
func (d *depth) Describe(ch chan<- *prometheus.Desc) {
	ch <- depthDesc
	ch <- oldestDesc
	ch <- deadDesc
}

// Collect implements prometheus.Collector.
func (d *depth) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	st, err := outbox.Stats(ctx, d.db)
	if err != nil {
		ch <- prometheus.NewInvalidMetric(depthDesc, err)
		return
	}
	for q, n := range st.Queues {
		for state, v := range map[string]int{"waiting": n.Waiting, "queued": n.Queued, "running": n.Running} {
			ch <- prometheus.MustNewConstMetric(depthDesc, prometheus.GaugeValue, float64(v), string(q), state)
		}
	}
	ch <- prometheus.MustNewConstMetric(oldestDesc, prometheus.GaugeValue, st.Oldest.Seconds())
	ch <- prometheus.MustNewConstMetric(deadDesc, prometheus.GaugeValue, float64(st.Dead))
}
