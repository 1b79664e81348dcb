package workers

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/outbox"
)

// attempt makes the context of an attempt: the request that asked for the job,
// and the trace in which it was put, with a span of its own where this process
// traces. A job that nobody asked for begins a trace.
func (s *Server) attempt(j *outbox.Job) (context.Context, trace.Span) {
	ctx := j.WithTrace(ident.WithRequest(s.work, j.RequestID))
	if s.o.Tracer == nil {
		return ctx, trace.SpanFromContext(ctx)
	}
	return s.o.Tracer.Tracer("github.com/channelgraph/channelgraph/workers").Start(ctx, "job "+s.label(j.Kind),
		trace.WithSpanKind(trace.SpanKindConsumer), trace.WithAttributes(attribute.String("job.id", string(j.ID)),
			attribute.String("job.kind", s.label(j.Kind)), attribute.String("job.queue", string(j.Queue)),
			attribute.Int("job.attempt", j.Attempt), attribute.String("request.id", j.RequestID)))
}

// concluded ends the span of an attempt. It tells the failure's code, never
// its text.
func concluded(span trace.Span, outcome string, err error) {
	if span.IsRecording() {
		span.SetAttributes(attribute.String("job.outcome", outcome))
		if err != nil {
			code := outbox.CodeFailed
			if r := fault.AsRetry(err); r != nil {
				code = r.Code
			}
			span.SetAttributes(attribute.String("error.type", code))
			span.SetStatus(codes.Error, code)
		}
	}
	span.End()
}
