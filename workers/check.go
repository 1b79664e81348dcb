package workers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// Ready reports whether the queue can take work: Redis answers, or the queue
// is embedded. Accepted work is safe in the database either way.
func (s *Server) Ready(ctx context.Context) error {
	l := s.link.Load()
	switch {
	case s.stopped.Load():
		return errors.New("the queue is stopping")
	case l == nil:
		return errors.New("the queue has not started")
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	return l.redis.Ping(ctx).Err()
}

// CheckRedis proves that a Redis answers and keeps what it is given; the text
// says what was found.
func CheckRedis(ctx context.Context, raw string) (string, error) {
	setRedisLog.Do(func() { redis.SetLogger(redisLog{slog.New(slog.DiscardHandler)}) })
	c, err := connect(raw, 1)
	if err != nil {
		return "", err
	}
	defer func() { _ = c.Close() }()
	info, err := c.Info(ctx).Result()
	if err != nil {
		return "", errors.New("it does not answer, or refuses us")
	}
	facts := map[string]string{}
	for line := range strings.Lines(info) {
		if k, v, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			facts[k] = v
		}
	}
	if p := facts["maxmemory_policy"]; p != "" && p != "noeviction" {
		return "", fmt.Errorf("its maxmemory-policy is %s, so it may throw tasks away", p)
	}
	return "Redis " + facts["redis_version"] + " answers, evicts nothing", nil
}
