package web

import (
	"fmt"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct{ duration *prometheus.HistogramVec }

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	m := &metrics{prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "channelgraph_http_request_duration_seconds", Help: "Time to answer HTTP requests, by route pattern, method and status class.",
		Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10},
	}, []string{"route", "method", "status"})}
	if reg == nil {
		return m, nil
	}
	if err := reg.Register(m.duration); err != nil {
		return nil, fmt.Errorf("registering the HTTP metrics: %w", err)
	}
	return m, nil
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
