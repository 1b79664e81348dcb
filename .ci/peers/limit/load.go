package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// load asks from some clients at once, after a warm-up of a tenth of the time.
func load(ctx context.Context, url, file, token string, clients int, seconds float64) error {
	body, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: clients, DisableCompression: true}}
	ask := func() error {
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
		if err != nil {
			return err
		}
		r.Header.Set("Content-Type", "application/json")
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		res, err := client.Do(r)
		if err != nil {
			return err
		}
		got, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if err == nil && (res.StatusCode != http.StatusOK || bytes.Contains(got, []byte(`"errors"`)) || len(got) < 1_000) {
			err = fmt.Errorf("status %d: %.300s", res.StatusCode, got)
		}
		return err
	}
	phase := func(d time.Duration) (int64, time.Duration, error) {
		var done atomic.Int64
		failed := make(chan error, clients)
		var wg sync.WaitGroup
		began := time.Now()
		for range clients {
			wg.Go(func() {
				for time.Since(began) < d {
					if err := ask(); err != nil {
						failed <- err
						return
					}
					done.Add(1)
				}
			})
		}
		wg.Wait()
		close(failed)
		return done.Load(), time.Since(began), <-failed
	}
	whole := time.Duration(seconds * float64(time.Second))
	if _, _, err := phase(whole / 10); err != nil {
		return err
	}
	n, took, err := phase(whole)
	if err != nil {
		return err
	}
	fmt.Printf("%.1f\n", float64(n)/took.Seconds())
	return nil
}
