package mail

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// traced opens the span of one conversation with the server, where the job is
// traced. Addresses, subjects and the server's words stay out of it.
func (m *Mailer) traced(ctx context.Context, msg *Message) (context.Context, trace.Span) {
	return trace.SpanFromContext(ctx).TracerProvider().Tracer("github.com/channelgraph/channelgraph/internal/mail").Start(ctx, "smtp",
		trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(attribute.String("server.address", m.server.host),
			attribute.String("mail.id", string(msg.ID)), attribute.String("mail.template", msg.Template), attribute.Int("mail.attempt", msg.Attempts)))
}

// phase notes how far the conversation has come.
func phase(ctx context.Context, name string) { trace.SpanFromContext(ctx).AddEvent(name) }

// traceOutcome ends the span of a conversation.
func traceOutcome(span trace.Span, f *failure) {
	if f != nil {
		span.SetAttributes(attribute.String("error.type", f.code))
		span.SetStatus(codes.Error, f.code)
	}
	span.End()
}
