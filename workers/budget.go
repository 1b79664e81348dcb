package workers

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// budgetSpan is how long a purse lasts, counted from its first spending.
	budgetSpan = time.Minute
	// budgetPatience is how long Redis may take over it.
	budgetPatience = 500 * time.Millisecond
	// budgetRest is how long Redis is left alone after it failed, so that its
	// absence does not make each request wait.
	budgetRest = time.Second
)

// errBudgetRests says that Redis failed a moment ago.
var errBudgetRests = errors.New("redis failed a moment ago")

// Budget counts what callers spend each minute, over all processes of a fleet.
// It holds nothing that may not be lost.
type Budget struct {
	redis  redis.UniversalClient
	prefix string
	now    func() time.Time
	span   time.Duration
	rests  atomic.Int64 // until then, in Unix nanoseconds
}

// NewBudget makes a budget on the Redis of the fleet (see Options.Redis and
// Options.Namespace); now is the clock of the moments that it tells. Nothing
// is dialled yet.
func NewBudget(url, namespace string, now func() time.Time) (*Budget, error) {
	c, err := connectFor(url, 16, budgetPatience)
	if err != nil {
		return nil, err
	}
	return &Budget{redis: c, prefix: "channelgraph:" + namespace + ":budget:", now: now, span: budgetSpan}, nil
}

// spend takes a cost from all purses or from none. It answers with the place
// of the purse that has least left after that, what it has left, its time to
// live and whether the cost was taken.
var spend = redis.NewScript(`
local cost, span = tonumber(ARGV[1]), tonumber(ARGV[2])
local tight, left, ok = 1, nil, 1
for i, key in ipairs(KEYS) do
  local rest = tonumber(ARGV[i + 2]) - tonumber(redis.call('GET', key) or '0')
  if left == nil or rest < left then tight, left = i, rest end
end
if cost > left then ok = 0 end
local wait = span
for i, key in ipairs(KEYS) do
  if ok == 1 and cost > 0 then redis.call('INCRBY', key, cost) end
  local ttl = redis.call('PTTL', key)
  if ttl == -1 then
    redis.call('PEXPIRE', key, span)
    ttl = span
  end
  if i == tight and ttl > 0 then wait = ttl end
end
if ok == 1 then left = left - cost end
return {tight - 1, left, wait, ok}
`)

// Spend takes a cost from all of some purses, each full to its limit when its
// minute begins, or from none where one has too little. It tells the place of
// the purse that has least left, what is left in it, and when it fills up
// again. A cost of 0 only looks. One round trip; the purses' keys hold no
// personal data. Errors are those of Redis, and nothing was spent then.
func (b *Budget) Spend(ctx context.Context, cost int, keys []string, limits []int) (tight, left int, resetAt time.Time, ok bool, err error) {
	began := time.Now()
	if began.UnixNano() < b.rests.Load() {
		return 0, 0, time.Time{}, false, errBudgetRests
	}
	// The braces keep the purses of one call on one node of a cluster.
	slot := b.prefix + "{" + keys[len(keys)-1] + "}:"
	full := make([]string, len(keys))
	args := []any{cost, b.span.Milliseconds()}
	for i, k := range keys {
		full[i] = slot + strconv.Itoa(i) + ":" + k
		args = append(args, limits[i])
	}
	out, err := spend.Run(ctx, b.redis, full, args...).Int64Slice()
	if err == nil && len(out) != 4 {
		err = fmt.Errorf("%d values", len(out))
	}
	if err != nil {
		if ctx.Err() == nil { // Redis failed, the caller did not leave
			b.rests.Store(time.Now().Add(budgetRest).UnixNano())
		}
		return 0, 0, time.Time{}, false, fmt.Errorf("spending from a budget: %w", err)
	}
	return int(out[0]), int(out[1]), b.now().Add(time.Duration(out[2]) * time.Millisecond), out[3] == 1, nil
}

// Close gives the connections back.
func (b *Budget) Close() { _ = b.redis.Close() }
