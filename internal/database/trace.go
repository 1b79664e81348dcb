package database

import (
	"context"
	"database/sql"
	"errors"
	"strings"

	"github.com/uptrace/bun"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// tracerName is the instrumentation scope of statements.
const tracerName = "github.com/channelgraph/channelgraph/internal/database"

type spanKey struct{}

// beginStatement opens a span for a statement of somebody who is traced. It
// tells the operation and the table and never the text, into which bun writes
// the arguments. Work that nobody traces, such as the relay's, has no spans.
func beginStatement(ctx context.Context, d Dialect, e *bun.QueryEvent) {
	parent := trace.SpanFromContext(ctx)
	if !parent.IsRecording() {
		return
	}
	op, table := describe(e.Query)
	name, system := op, string(d)
	if d == Postgres {
		system = "postgresql"
	}
	attrs := []attribute.KeyValue{attribute.String("db.system.name", system), attribute.String("db.operation.name", op)}
	if table != "" {
		name += " " + table
		attrs = append(attrs, attribute.String("db.collection.name", table))
	}
	// The span stays out of the context: a transaction keeps that of its BEGIN.
	_, span := parent.TracerProvider().Tracer(tracerName).Start(ctx, name, trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(attrs...))
	e.Stash = map[any]any{spanKey{}: span}
}

// endStatement closes the span of beginStatement. An error's own words may
// quote a row, so only its class is told.
func endStatement(e *bun.QueryEvent) {
	span, ok := e.Stash[spanKey{}].(trace.Span)
	if !ok {
		return
	}
	switch {
	case e.Err == nil, errors.Is(e.Err, sql.ErrNoRows):
	case errors.Is(e.Err, context.Canceled), errors.Is(e.Err, context.DeadlineExceeded):
		span.SetStatus(codes.Error, "cancelled")
	case IsUnique(e.Err):
		span.SetStatus(codes.Error, "unique violation")
	case transient(e.Err):
		span.SetStatus(codes.Error, "conflict")
	case IsDown(e.Err):
		span.SetStatus(codes.Error, "no connection")
	default:
		span.SetStatus(codes.Error, "failed")
	}
	span.End()
}

// describe reads a statement's operation and its first table. It looks no
// further than the first quoted text, where arguments begin.
func describe(query string) (op, table string) {
	if i := strings.IndexAny(query, "'\x00"); i >= 0 {
		query = query[:i]
	}
	words := strings.FieldsSeq(query)
	want := false
	for w := range words {
		w = strings.TrimLeft(w, "(")
		if op == "" {
			switch up := strings.ToUpper(w); up {
			case "SELECT", "INSERT", "UPDATE", "DELETE", "WITH", "BEGIN", "COMMIT", "ROLLBACK":
				op = up
			default:
				return "OTHER", ""
			}
			want = op == "UPDATE"
			continue
		}
		if want {
			return op, identifier(w)
		}
		switch strings.ToUpper(w) {
		case "FROM", "INTO", "UPDATE":
			want = true
		}
	}
	return op, ""
}

// identifier is a table's bare name, or "" for anything else.
func identifier(w string) string {
	w = strings.TrimRight(strings.Trim(w, `";,)`), "(")
	w = strings.Trim(w, `"`)
	if strings.Trim(w, "abcdefghijklmnopqrstuvwxyz_") != "" {
		return ""
	}
	return w
}
