package web

import (
	"context"
	"net/http"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// traced opens the span of a request. A trace that the caller is already in is
// believed of trusted proxies only, as strangers could have everything
// recorded. Probes have no spans.
func (s *server) traced(ctx context.Context, r *http.Request, trusted bool) (context.Context, trace.Span) {
	switch {
	case s.Tracer == nil, r.URL.Path == "/healthz", r.URL.Path == "/readyz", r.URL.Path == "/metrics":
		return ctx, nil
	case trusted:
		ctx = propagation.TraceContext{}.Extract(ctx, propagation.HeaderCarrier(r.Header))
	}
	return s.Tracer.Tracer("github.com/channelgraph/channelgraph/internal/web").Start(ctx, metricMethod(r.Method),
		trace.WithSpanKind(trace.SpanKindServer))
}

// traceAnswer ends the span of a request. It tells the route's pattern and
// never the path, in which anything may stand.
func traceAnswer(span trace.Span, method string, v *visit, status int) {
	if span == nil {
		return
	}
	if span.IsRecording() {
		route := strings.TrimPrefix(v.route, method+" ") // mounted doors' patterns name no method
		span.SetName(metricMethod(method) + " " + route)
		span.SetAttributes(attribute.String("http.request.method", metricMethod(method)), attribute.String("http.route", route),
			attribute.Int("http.response.status_code", status), attribute.String("request.id", v.id))
		if status >= http.StatusInternalServerError {
			span.SetStatus(codes.Error, "")
		}
	}
	span.End()
}
