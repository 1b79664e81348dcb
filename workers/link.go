package workers

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
)

// link is one connection to a Redis with Asynq on it: the configured server's,
// or an embedded one, which is disposable.
type link struct {
	redis  redis.UniversalClient
	client *asynq.Client
	server *asynq.Server // nil where this process performs nothing
	gate   *gate
	mini   *miniredis.Miniredis
	sent   atomic.Int64
	stop   context.CancelFunc
}

// readTimeout is long because go-redis gives up on an answer that is late and
// Asynq's script may have run by then.
const readTimeout = 10 * time.Second

func (s *Server) openLink() (*link, error) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(s.flush))
	l := &link{stop: cancel}
	interval := s.o.CheckInterval
	if s.o.Redis == "" {
		l.embed(ctx)
		if interval == 0 {
			interval = 200 * time.Millisecond
		}
	} else {
		c, err := connect(s.o.Redis, s.o.Concurrency+32)
		if err != nil {
			cancel()
			return nil, err
		}
		l.redis = c
		if interval == 0 {
			interval = 25 * time.Millisecond
		}
	}
	l.gate = newGate(ctx, l.redis, interval, l.mini == nil)
	l.client = asynq.NewClientFromRedisClient(l.redis)
	if s.o.RelayOnly {
		return l, nil
	}
	queues := map[string]int{}
	for q, w := range weights {
		queues[s.queue(q)] = w
	}
	l.server = asynq.NewServerFromRedisClient(l.redis, asynq.Config{
		Concurrency:              s.o.Concurrency,
		Queues:                   queues,
		TaskCheckInterval:        200 * time.Microsecond, // the gate waits instead
		DelayedTaskCheckInterval: time.Second,
		RetryDelayFunc:           func(n int, _ error, _ *asynq.Task) time.Duration { return time.Second << min(n, 5) },
		IsFailure:                func(error) bool { return false },
		Logger:                   asynqLog{s.log},
		LogLevel:                 asynq.WarnLevel,
		ShutdownTimeout:          time.Second,
	})
	if err := l.server.Start(asynq.HandlerFunc(s.process)); err != nil {
		l.close()
		return nil, fmt.Errorf("starting the queue's server: %w", err)
	}
	return l, nil
}

// embed starts a Redis inside this process that listens nowhere. Its times to
// live pass only by FastForward.
func (l *link) embed(ctx context.Context) {
	l.mini = miniredis.NewMiniRedis()
	l.redis = redis.NewClient(&redis.Options{
		Addr:       "embedded",
		Dialer:     func(context.Context, string, string) (net.Conn, error) { return l.mini.Dial() },
		MaxRetries: -1, ReadTimeout: readTimeout, PoolSize: 64, DisableIdentity: true,
	})
	go func() {
		t := time.NewTicker(time.Second)
		defer t.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-t.C:
				l.mini.FastForward(time.Second)
			}
		}
	}()
}

// halt stops taking tasks; what runs goes on.
func (l *link) halt() {
	if l.server != nil {
		l.gate.open()
		l.server.Stop()
	}
}

// close ends the link; running handlers have been waited for before.
func (l *link) close() {
	if l.server != nil {
		l.gate.open()
		l.server.Shutdown()
	}
	l.stop()
	_ = l.redis.Close()
	if l.mini != nil {
		l.mini.Close()
	}
}

// connect opens redis:// and rediss:// (one server), redis-sentinel:// and
// rediss-sentinel:// (?master=name, optionally sentinel-username and
// sentinel-password), redis-cluster:// and rediss-cluster://, the latter with
// several host:port parted by commas. Nothing is dialled yet.
func connect(raw string, pool int) (redis.UniversalClient, error) {
	return connectFor(raw, pool, readTimeout)
}

// connectFor is connect with a time of its own for answers.
func connectFor(raw string, pool int, patience time.Duration) (redis.UniversalClient, error) {
	scheme, rest, ok := strings.Cut(raw, "://")
	kind, secure := strings.CutPrefix(scheme, "rediss")
	if !secure {
		kind, ok = strings.CutPrefix(scheme, "redis")
	}
	if !ok || kind != "" && kind != "-sentinel" && kind != "-cluster" {
		return nil, errors.New("the Redis URL must begin with redis:, rediss:, redis-sentinel: or redis-cluster: and two slashes")
	}
	if kind == "" {
		o, err := redis.ParseURL(raw)
		if err != nil {
			return nil, errors.New("the Redis URL cannot be read") // the cause may show the password
		}
		o.MaxRetries, o.ReadTimeout, o.PoolSize = -1, patience, pool
		o.DialTimeout = min(patience, 5*time.Second)
		return redis.NewClient(o), nil
	}
	u, hosts, err := splitHosts(rest)
	if err != nil {
		return nil, err
	}
	password, _ := u.User.Password()
	o := &redis.UniversalOptions{
		Addrs: hosts, Username: u.User.Username(), Password: password, MaxRetries: -1,
		ReadTimeout: patience, DialTimeout: min(patience, 5*time.Second), PoolSize: pool,
	}
	if secure {
		o.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	if kind == "-cluster" {
		// In a cluster a "retry" is also the step to the node that owns the
		// slot, so it stays on.
		c := o.Cluster()
		c.MaxRetries = -1
		return redis.NewClusterClient(c), nil
	}
	q := u.Query()
	o.MasterName, o.SentinelUsername, o.SentinelPassword = q.Get("master"), q.Get("sentinel-username"), q.Get("sentinel-password")
	if o.MasterName == "" {
		return nil, errors.New("the Redis Sentinel URL names no ?master=")
	}
	if db := strings.Trim(u.Path, "/"); db != "" {
		if o.DB, err = strconv.Atoi(db); err != nil {
			return nil, errors.New("the path of the Redis Sentinel URL is no database number")
		}
	}
	return redis.NewFailoverClient(o.Failover()), nil
}

// splitHosts reads user:password@host:port,host:port/path?query, which
// net/url refuses for its several hosts.
func splitHosts(rest string) (*url.URL, []string, error) {
	end := strings.IndexAny(rest, "/?")
	if end < 0 {
		end = len(rest)
	}
	authority, tail := rest[:end], rest[end:]
	user, hosts := "", authority
	if at := strings.LastIndexByte(authority, '@'); at >= 0 {
		user, hosts = authority[:at+1], authority[at+1:]
	}
	u, err := url.Parse("redis://" + user + "hosts" + tail)
	if err != nil {
		return nil, nil, errors.New("the Redis URL cannot be read") // the cause may show the password
	}
	var list []string
	for _, h := range strings.Split(hosts, ",") {
		if h = strings.TrimSpace(h); h == "" {
			return nil, nil, errors.New("the Redis URL names an empty host")
		}
		list = append(list, h)
	}
	return u, list, nil
}

// warnEviction says it where Redis may throw tasks away under memory
// pressure. Rows survive that, but late.
func warnEviction(ctx context.Context, c redis.UniversalClient, log *slog.Logger) {
	info, err := c.Info(ctx, "memory").Result()
	if err != nil {
		log.Warn("redis does not answer; jobs wait in the database until it does", "error", err)
		return
	}
	for line := range strings.Lines(info) {
		policy, found := strings.CutPrefix(strings.TrimSpace(line), "maxmemory_policy:")
		if found && policy != "noeviction" {
			log.Warn("redis may evict tasks; set maxmemory-policy to noeviction", "policy", policy)
		}
	}
}

// asynqLog passes Asynq's words on to slog.
type asynqLog struct{ log *slog.Logger }

func (l asynqLog) Debug(args ...any) { l.log.Debug(fmt.Sprint(args...), "part", "asynq") }
func (l asynqLog) Info(args ...any)  { l.log.Debug(fmt.Sprint(args...), "part", "asynq") }
func (l asynqLog) Warn(args ...any)  { l.log.Warn(fmt.Sprint(args...), "part", "asynq") }
func (l asynqLog) Error(args ...any) { l.log.Error(fmt.Sprint(args...), "part", "asynq") }
func (l asynqLog) Fatal(args ...any) { l.log.Error(fmt.Sprint(args...), "part", "asynq") }

// redisLog passes go-redis' words on to slog.
type redisLog struct{ log *slog.Logger }

func (l redisLog) Printf(ctx context.Context, format string, v ...any) {
	l.log.WarnContext(ctx, fmt.Sprintf(format, v...), "part", "redis")
}
