package app_test

import (
	"net/http"
	"os"
	"regexp"
	"testing"
	"time"

	"github.com/channelgraph/channelgraph/internal/database/dbtest"
)

// coldStart measures a start of serve on existing data, from exec to ready,
// and what the process itself says of it; then it proves that the process
// answers, and stops it.
func coldStart(tb testing.TB, s *story) (measured, told time.Duration) {
	tb.Helper()
	begin := time.Now()
	if err := s.start([]string{"--demo"}); err != nil {
		tb.Fatal(err)
	}
	measured = time.Since(begin)
	out, _ := s.running.out.text()
	m := regexp.MustCompile(`is ready after (\S+)`).FindStringSubmatch(out)
	if m == nil {
		tb.Fatalf("no word about the start: %s", out)
	}
	told, err := time.ParseDuration(m[1])
	if err != nil {
		tb.Fatal(err)
	}
	a, err := s.send(s.person("nobody"), http.MethodGet, "/readyz", nil, http.Header{})
	if err != nil || a.status != http.StatusOK {
		tb.Fatal(a.status, err)
	}
	if err := s.doStop(nil, false, nil); err != nil {
		tb.Fatal(err)
	}
	return measured, told
}

// existing is the demo world at rest, as a start finds it.
func existing(tb testing.TB) *story {
	tb.Helper()
	s, err := makeStory(tb.TempDir())
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(s.end)
	if err := s.prepare(true); err != nil {
		tb.Fatal(err)
	}
	return s
}

// A start on existing data fills nothing again: it is ready in a fraction of
// what the first one took.
func TestColdStart(t *testing.T) {
	s := existing(t)
	measured, told := coldStart(t, s)
	t.Logf("cold start of serve on an existing file: ready %s after exec, %s by its own word; the first start took %s",
		measured.Round(time.Millisecond), told, template.took.Round(time.Millisecond))
	if told > measured || measured > patience {
		t.Errorf("ready after %s, and %s by its own word", measured, told)
	}
	if _, err := os.Stat(s.data + "/channelgraph.db"); (err == nil) == (dbtest.PostgresURL() != "") {
		t.Error("the database is not where it should be", err)
	}
}

func BenchmarkColdStart(b *testing.B) {
	s := existing(b)
	var sum, own time.Duration
	n := 0
	for b.Loop() {
		measured, told := coldStart(b, s)
		sum, own, n = sum+measured, own+told, n+1
	}
	b.ReportMetric(float64(sum.Milliseconds())/float64(n), "ms-to-ready")
	b.ReportMetric(float64(own.Milliseconds())/float64(n), "ms-own-word")
	b.ReportMetric(float64(template.took)/float64(sum)*float64(n), "times-faster-than-first")
}
