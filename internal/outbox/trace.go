package outbox

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// parentHeader is how W3C Trace Context calls what job.trace_parent holds.
const parentHeader = "traceparent"

// traced opens the span of a job being put, where its caller is traced, and
// writes into the job where its attempts belong: also for a trace that is not
// sampled, so that its parts agree.
func traced(ctx context.Context, j *Job) (_ context.Context, end func()) {
	parent := trace.SpanFromContext(ctx)
	if !parent.SpanContext().IsValid() {
		return ctx, func() {}
	}
	ctx, span := parent.TracerProvider().Tracer("github.com/channelgraph/channelgraph/internal/outbox").Start(ctx, "put "+j.Kind,
		trace.WithSpanKind(trace.SpanKindProducer), trace.WithAttributes(attribute.String("job.id", string(j.ID)),
			attribute.String("job.kind", j.Kind), attribute.String("job.queue", string(j.Queue))))
	c := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, c)
	j.TraceParent = c[parentHeader]
	return ctx, func() { span.End() }
}

// WithTrace puts the trace in which a job was put into the context; without
// one the context stays as it is.
func (j *Job) WithTrace(ctx context.Context) context.Context {
	if j.TraceParent == "" {
		return ctx
	}
	return propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{parentHeader: j.TraceParent})
}
