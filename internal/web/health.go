package web

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/fault"
)

// healthz says that the process answers; it asks nothing else.
func (s *server) healthz(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]string{"status": "ok", "version": s.Version})
}

// readyz says whether the process can do its work: 503 with the reasons where
// not. Reasons are sentences of faults; other errors stand in the log only,
// since they may name hosts.
func (s *server) readyz(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 3*time.Second)
	defer cancel()
	results := map[string]error{"database": s.DB.Ping(ctx)}
	if s.Ready != nil {
		for name, err := range s.Ready(ctx) {
			results[name] = err
		}
	}
	checks, status, word := map[string]string{}, http.StatusOK, "ready"
	for name, err := range results {
		switch f := fault.As(err); {
		case err == nil:
			checks[name] = "ok"
			continue
		case f != nil:
			checks[name] = explainFault("en", f).errors[0].Message
		case database.IsDown(err):
			checks[name] = "cannot be reached"
		default:
			checks[name] = "failing; the log has the reason"
		}
		status, word = http.StatusServiceUnavailable, "not ready"
		s.Log.LogAttrs(ctx, slog.LevelWarn, "not ready", slog.String("check", name), slog.Any("error", err))
	}
	writeJSON(w, status, map[string]any{"status": word, "checks": checks, "version": s.Version})
}

// bounce takes one delivery status notification from the mail system.
func (s *server) bounce(w http.ResponseWriter, r *http.Request) {
	visitOf(r).json = true
	given, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	// Hashes are of one length, so that comparing them tells nothing.
	a, b := sha256.Sum256([]byte(given)), sha256.Sum256([]byte(s.BounceSecret.Reveal()))
	if !ok || subtle.ConstantTimeCompare(a[:], b[:]) != 1 {
		w.Header().Set("WWW-Authenticate", "Bearer")
		s.fail(w, r, fault.Unauthenticated())
		return
	}
	if err := s.BounceIntake(r.Context(), r.Body); err != nil {
		s.fail(w, r, bodyError(err, err))
		return
	}
	w.WriteHeader(http.StatusAccepted)
}

// robots keeps search engines out: nothing here is for them.
func robots(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte("User-agent: *\nDisallow: /\n"))
}
