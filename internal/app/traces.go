package app

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"

	"github.com/channelgraph/channelgraph/internal/config"
)

// flushTraces bounds how long a process that ends waits for the collector.
const flushTraces = 3 * time.Second

// openTraces makes the provider of spans where the settings ask for traces.
// Otherwise the tracer stays nil and nobody makes a span: only doors and
// workers hold it, everything below continues the span of its context.
func (a *App) openTraces(ctx context.Context) error {
	if a.cfg.Traces != config.TracesOTLP {
		return nil
	}
	u, err := url.Parse(a.cfg.OTLPEndpoint)
	if err != nil {
		return fmt.Errorf("CHANNELGRAPH_OTLP_ENDPOINT: %w", err)
	}
	if strings.Trim(u.Path, "/") == "" {
		u.Path = "/v1/traces"
	}
	// A collector that is away must not hold up anything: spans are sent in
	// the background, and dropped where too many wait.
	exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(u.String()), otlptracehttp.WithTimeout(5*time.Second))
	if err != nil {
		return fmt.Errorf("the exporter of traces: %w", err)
	}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { a.log.Warn("traces could not be sent", "error", err) }))
	limits := sdk.NewSpanLimits()
	limits.AttributeValueLengthLimit = 256
	p := sdk.NewTracerProvider(sdk.WithBatcher(exporter), sdk.WithSampler(sdk.ParentBased(sdk.TraceIDRatioBased(a.cfg.TraceRatio))),
		sdk.WithRawSpanLimits(limits), sdk.WithResource(resource.NewSchemaless(attribute.String("service.name", "channelgraph"),
			attribute.String("service.version", Version), attribute.String("channelgraph.role", a.cfg.Role))))
	a.tracer = p
	a.closers = append(a.closers, func() {
		ctx, cancel := context.WithTimeout(context.Background(), flushTraces)
		defer cancel()
		_ = p.Shutdown(ctx) // what could not be sent was told to the error handler
	})
	return nil
}
