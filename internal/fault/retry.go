package fault

import (
	"errors"
	"time"
)

// Retry is what a job's step answers when it wants to be tried again at a
// chosen moment, or never. Any other error is retried with backoff.
type Retry struct {
	// Code is the stable failure code that the Operation shows.
	Code string
	// After is the wait before the next attempt; zero means the queue's own
	// backoff.
	After time.Duration
	// Never stops further attempts: the job is dead with Code.
	Never bool
	// Free leaves the attempt uncharged, for faults that are not the job's.
	Free  bool
	cause error
}

// Error implements error.
func (r *Retry) Error() string {
	if r.cause == nil {
		return r.Code
	}
	return r.Code + ": " + r.cause.Error()
}

// Unwrap gives the cause.
func (r *Retry) Unwrap() error { return r.cause }

// RetryAfter asks for another attempt after d.
func RetryAfter(d time.Duration, code string, cause error) error {
	return &Retry{Code: code, After: d, cause: cause}
}

// RetryFree asks for another attempt after d without charging this one.
func RetryFree(d time.Duration, code string, cause error) error {
	return &Retry{Code: code, After: d, Free: true, cause: cause}
}

// GiveUp says that no further attempt can help.
func GiveUp(code string, cause error) error {
	return &Retry{Code: code, Never: true, cause: cause}
}

// AsRetry returns the Retry inside err, or nil.
func AsRetry(err error) *Retry {
	var r *Retry
	if errors.As(err, &r) {
		return r
	}
	return nil
}
