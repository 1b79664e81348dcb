package web

import (
	"fmt"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/channelgraph/channelgraph/internal/file"
)

type metrics struct {
	duration *prometheus.HistogramVec
	uploads  *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	m := &metrics{duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "channelgraph_http_request_duration_seconds", Help: "Time to answer HTTP requests, by route pattern, method and status class.",
		Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10},
	}, []string{"route", "method", "status"}), uploads: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "channelgraph_file_uploads_total", Help: "Uploads of files, by purpose and outcome (stored, refused, too_large, cut_short, failed).",
	}, []string{"purpose", "outcome"})}
	if reg == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.duration, m.uploads} {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("registering the HTTP metrics: %w", err)
		}
	}
	return m, nil
}

// uploaded counts an upload; a purpose is whatever a client writes.
func (m *metrics) uploaded(p file.Purpose, err error) {
	if !p.Known() {
		p = "unknown"
	}
	m.uploads.WithLabelValues(string(p), uploadOutcome(err)).Inc()
}

func (m *metrics) observe(route, method string, status int, took time.Duration) {
	m.duration.WithLabelValues(route, metricMethod(method), fmt.Sprintf("%dxx", status/100)).Observe(took.Seconds())
}

// metricMethod bounds the label: a method is whatever a client writes.
func metricMethod(m string) string {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return m
	}
	return "OTHER"
}
