package app

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/channelgraph/channelgraph/internal/config"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/secret"
)

// The process's own log holds no token, in either format, whoever logs.
func TestLoggerHidesTokens(t *testing.T) {
	before := slog.Default()
	defer slog.SetDefault(before)
	for _, format := range []string{"text", "json"} {
		var b bytes.Buffer
		log := logger(&config.Config{LogLevel: "debug", LogFormat: format}, &b)
		for _, token := range []secret.String{secret.NewChecked("cgp"), secret.NewToken("cgt"), secret.NewToken("cgi"), secret.NewToken("cgs")} {
			value := token.Reveal()
			ctx := ident.WithRequest(t.Context(), "req-1")
			log.ErrorContext(ctx, "failed with "+value, "error", errors.New("no "+value), "token", token)
			slog.Default().With("where", value).Info("line\n" + value)
			slog.NewLogLogger(log.Handler(), slog.LevelWarn).Print("http: Bearer " + value)
			if strings.Contains(b.String(), value[4:]) {
				t.Errorf("%s: the log holds %s:\n%s", format, value, b.String())
			}
		}
		if n := strings.Count(b.String(), "_[hidden]"); n != 20 || strings.Count(b.String(), "req-1") != 4 {
			t.Errorf("%s: %d tokens were hidden, want 20:\n%s", format, n, b.String())
		}
	}
}
