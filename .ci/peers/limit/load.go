package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
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
	var asked atomic.Uint32
	asked.Store(rand.Uint32()) // other people each time
	ask := func() error {
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
		if err != nil {
			return err
		}
		r.Header.Set("Content-Type", "application/json")
		n := asked.Add(1) / 100 // a hundred requests from each of many people, as behind a proxy
		r.Header.Set("X-Forwarded-For", fmt.Sprintf("10.%d.%d.%d", n>>16&255, n>>8&255, n&255))
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
