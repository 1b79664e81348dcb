package mail

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/wneessen/go-mail/smtp"

	"github.com/channelgraph/channelgraph/internal/address"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
)

// Phases of sending: before and after the durable mark that the body may
// leave.
const (
	phaseEnvelope = "envelope"
	phaseData     = "data"
)

// schedule are the waits after the first attempts; from then on it is hourly.
var schedule = []time.Duration{time.Minute, 5 * time.Minute, 15 * time.Minute, time.Hour}

// wait is the time to the next attempt after n of them, ±20 % once hourly so
// that a burst of deferred mails spreads.
func wait(n int) time.Duration {
	if n <= len(schedule) {
		return schedule[max(n, 1)-1]
	}
	return spread(time.Hour)
}

// spread varies a wait by ±20 %.
func spread(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (0.8 + 0.4*rand.Float64())) //nolint:gosec // spreads load, guards nothing
}

// errLeaseLost stops an attempt whose message another process has taken over.
var errLeaseLost = errors.New("the lease of the message was lost")

// attempt is one claim of a message.
type attempt struct {
	msg   *Message
	claim string
	// probe says that this attempt finds out whether the server is back.
	probe bool
	// dotted says that the final dot is on its way: what follows is waited
	// for.
	dotted atomic.Bool
}

// Deliver makes one attempt at a message. It returns nil once the message is
// final, also where it was before; fault.RetryAfter where it is deferred, and
// fault.RetryFree where the attempt was not the message's own fault: the
// server is down, the rate is reached, another process is sending it.
func (m *Mailer) Deliver(ctx context.Context, id ident.ID, h Hooks) error {
	msg, err := load(ctx, m.db.Read(), id)
	if fault.Is(err, fault.CodeNotFound) {
		return fault.GiveUp(fault.CodeNotFound, err)
	}
	if err != nil {
		return err
	}
	ctx = ident.WithRequest(ctx, msg.RequestID)
	wanted := true
	if !msg.State.Final() && h.Wanted != nil {
		if wanted, err = h.Wanted(ctx); err != nil {
			return fmt.Errorf("asking whether a message is still wanted: %w", err)
		}
	}
	if err := m.pool.enter(ctx); err != nil {
		return fault.RetryFree(time.Second, CodeInFlight, err)
	}
	defer m.pool.leave()
	a, err := m.claim(ctx, msg, wanted, h)
	if a == nil || err != nil {
		return err
	}
	f := m.send(ctx, a)
	if f != nil && errors.Is(f.cause, errLeaseLost) {
		return fault.RetryFree(m.cfg.Lease, CodeInFlight, errLeaseLost)
	}
	if f != nil && ctx.Err() != nil && f.reply == "" && !f.afterDot && !f.permanent {
		f.provider, f.interrupted = false, true
	}
	return m.conclude(ctx, a, f, h)
}

// claim takes the message for this process, or ends it where nothing is to be
// sent. A nil attempt means that there is nothing more to do now.
func (m *Mailer) claim(ctx context.Context, msg *Message, wanted bool, h Hooks) (*attempt, error) {
	id := msg.ID
	var a *attempt
	var later error // the answer where the transaction is to be kept
	var ended *Outcome
	err := m.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		a, later, ended = nil, nil, nil
		msg, err := lock(ctx, tx, "id", string(id))
		if err != nil {
			return err
		}
		end := func(s State, code string) error {
			ended = &Outcome{State: s, Code: code, MaybeDuplicate: msg.MaybeDuplicate}
			return settle(ctx, tx, msg, *ended, h, true)
		}
		if msg.State.Final() {
			if msg.Settled || msg.State == Bounced {
				return nil
			}
			// The mark was made, the concept's part failed: once more.
			o := Outcome{State: msg.State, Code: msg.FailureCode, Recipient: msg.FailureCode == CodeRecipient, MaybeDuplicate: msg.MaybeDuplicate}
			msg.Settled = true
			if err := save(ctx, tx, msg); err != nil {
				return err
			}
			return tell(ctx, tx, msg, o, h)
		}
		if msg.State == Sending {
			if msg.LeaseUntil != nil && msg.LeaseUntil.After(tx.Now) {
				later = fault.RetryFree(msg.LeaseUntil.Sub(tx.Now)+time.Second, CodeInFlight, nil)
				return nil
			}
			if msg.Phase == phaseData {
				msg.MaybeDuplicate = true
			}
			if err := note(ctx, tx, id, "interrupted", CodeLost); err != nil {
				return err
			}
		}
		gone, err := suppressed(ctx, tx, msg.RecipientFolded)
		switch {
		case err != nil:
			return err
		case !wanted:
			return end(Suppressed, CodeNotWanted)
		case !msg.ExpiresAt.After(tx.Now):
			return end(Expired, CodeExpired)
		case gone:
			return end(Suppressed, CodeSuppressed)
		}
		after, code, probe, err := m.admit(ctx, tx)
		if err != nil {
			return err
		}
		if after > 0 {
			later = fault.RetryFree(after, code, nil)
			if msg.State == Sending { // taken over, but not sent now
				msg.State, msg.Claim, msg.LeaseUntil, msg.Phase = Deferred, "", nil, ""
				return save(ctx, tx, msg)
			}
			return nil
		}
		lease := tx.Now.Add(m.cfg.Lease)
		msg.State, msg.Phase, msg.Claim, msg.LeaseUntil = Sending, phaseEnvelope, ident.New(ident.Job).Body(), &lease
		msg.NextAttemptAt = nil
		msg.Attempts++
		if err := save(ctx, tx, msg); err != nil {
			return err
		}
		a = &attempt{msg: msg, claim: msg.Claim, probe: probe}
		return note(ctx, tx, id, "sending", "")
	})
	if err != nil {
		return nil, err
	}
	if ended != nil {
		m.report(ctx, msg, *ended, 0)
	}
	return a, later
}

// admit asks breaker and rate whether the server may be spoken to now; a
// positive wait says not before.
func (m *Mailer) admit(ctx context.Context, tx *database.Tx) (after time.Duration, code string, probe bool, err error) {
	p, err := m.peekProvider(ctx, tx)
	if err != nil || m.cfg.Rate <= 0 && (p == nil || p.Failures == 0) {
		return 0, "", false, err
	}
	if p, err = m.provider(ctx, tx); err != nil {
		return 0, "", false, err
	}
	if p.Failures > 0 {
		if p.OpenUntil != nil && p.OpenUntil.After(tx.Now) {
			return afterOpen(p, tx.Now), p.Reason, false, nil
		}
		until := tx.Now.Add(breakerProbe) // one attempt finds out, the others wait
		p.OpenUntil, probe = &until, true
	}
	if m.cfg.Rate > 0 {
		step := time.Duration(float64(time.Second) / m.cfg.Rate)
		tat := tx.Now
		if p.TATAt != nil && p.TATAt.After(tat) {
			tat = *p.TATAt
		}
		tat = tat.Add(step)
		if over := tat.Sub(tx.Now) - time.Duration(m.cfg.Burst)*step; over > 0 {
			return over, CodeRate, false, nil
		}
		p.TATAt = &tat
	}
	return 0, "", probe, saveProvider(ctx, tx, p)
}

// Times of the breaker: the first wait, the longest, and how long the one
// attempt that probes keeps the others waiting.
const (
	breakerFirst = 5 * time.Second
	breakerMost  = 5 * time.Minute
	breakerProbe = 30 * time.Second
)

// trip opens the breaker, a little longer with every failure in a row. Of
// several attempts that fail at once only the first counts.
func (m *Mailer) trip(ctx context.Context, tx *database.Tx, reason string, probe bool) (time.Duration, error) {
	p, err := m.provider(ctx, tx)
	if err != nil {
		return 0, err
	}
	if !probe && p.OpenUntil != nil && p.OpenUntil.After(tx.Now) {
		return afterOpen(p, tx.Now), nil
	}
	p.Failures++
	until := tx.Now.Add(min(breakerFirst<<min(p.Failures-1, 10), breakerMost))
	p.OpenUntil, p.Reason = &until, reason
	return afterOpen(p, tx.Now), saveProvider(ctx, tx, p)
}

// afterOpen is when to ask again: those who wait come back one by one.
func afterOpen(p *providerRow, now time.Time) time.Duration {
	return p.OpenUntil.Sub(now) + time.Duration(rand.Float64()*float64(5*time.Second)) //nolint:gosec // spreads load, guards nothing
}

func (m *Mailer) reset(ctx context.Context, tx *database.Tx) error {
	p, err := m.provider(ctx, tx)
	if err != nil {
		return err
	}
	p.Failures, p.OpenUntil, p.Reason = 0, nil, ""
	return saveProvider(ctx, tx, p)
}

// send holds the conversation. A nil failure means that the server took the
// message.
func (m *Mailer) send(ctx context.Context, a *attempt) (f *failure) {
	raw, err := m.compose(a.msg)
	if err != nil {
		return &failure{code: CodeTemplate, cause: err}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ctx, span := m.traced(ctx, a.msg)
	defer func() { traceOutcome(span, f) }()
	c, f := m.connect(ctx)
	if f != nil {
		return f
	}
	var lost atomic.Bool
	stop := context.AfterFunc(ctx, c.close) // until the body may leave, a shutdown ends it
	beat := make(chan struct{})
	beats := make(chan struct{})
	go func() {
		defer close(beats)
		m.heartbeat(ctx, a, beat, func() {
			lost.Store(true)
			if !a.dotted.Load() {
				c.close()
			}
		})
	}()
	reply, f := m.converse(ctx, a, c, raw, stop)
	close(beat)
	<-beats
	stop()
	a.msg.ServerReply = reply
	if f == nil {
		// Accepted: a connection that fails from here on is none of the
		// message's business.
		c.mails++
		m.pool.put(c)
		return nil
	}
	if f.reply != "" && !f.provider && !f.afterDot { // the server spoke and may speak on
		c.mails++
		m.pool.put(c)
	} else {
		c.close()
	}
	if lost.Load() && !f.afterDot {
		f.cause = errLeaseLost
	}
	return f
}

// heartbeat extends the lease until beat is closed; gone is called where the
// message was taken over.
func (m *Mailer) heartbeat(ctx context.Context, a *attempt, beat <-chan struct{}, gone func()) {
	t := time.NewTicker(m.cfg.Lease / 3)
	defer t.Stop()
	ctx = context.WithoutCancel(ctx)
	for {
		select {
		case <-beat:
			return
		case <-t.C:
			hctx, cancel := context.WithTimeout(ctx, m.cfg.Lease/3)
			ok, err := m.hold(hctx, a.msg.ID, a.claim, "")
			cancel()
			if err == nil && !ok {
				gone()
				return
			}
		}
	}
}

func (m *Mailer) converse(ctx context.Context, a *attempt, c *conn, raw []byte, stop func() bool) (string, *failure) {
	t := m.cfg.Timeouts
	utf8 := !isASCII(a.msg.Recipient)
	if ok, _ := c.client.Extension("SMTPUTF8"); utf8 && !ok {
		return "", &failure{code: CodeUTF8, permanent: true, recipient: true}
	}
	c.client.SkipSMTPUTF8(!utf8)
	step := func(d time.Duration, code string, do func() error) *failure {
		if err := c.client.UpdateDeadline(d); err != nil {
			return judge(err, code)
		}
		if err := do(); err != nil {
			return judge(err, code)
		}
		return nil
	}
	if f := step(t.Command, CodeSender, func() error { return c.client.Mail("<" + m.from.Address + ">") }); f != nil {
		return "", f
	}
	phase(ctx, "sender")
	if f := step(t.Command, CodeRecipient, func() error { return c.client.Rcpt("<" + a.msg.Recipient + ">") }); f != nil {
		f.recipient = f.permanent
		return "", f
	}
	phase(ctx, "recipient")
	// The durable mark: from here on the body may have left.
	ok, err := m.hold(ctx, a.msg.ID, a.claim, phaseData)
	if err != nil {
		return "", &failure{code: CodeLost, cause: err}
	}
	if !ok {
		return "", &failure{code: CodeInFlight, cause: errLeaseLost}
	}
	a.msg.Phase = phaseData
	phase(ctx, "marked")
	if !stop() {
		return "", &failure{code: CodeLost, cause: ctx.Err()}
	}
	ctx = context.WithoutCancel(ctx) // a shutdown waits for what is past here
	var w *smtp.DataCloser
	f := step(t.Command, CodeRefused, func() error {
		d, err := c.client.Data()
		if err == nil {
			w, ok = d.(*smtp.DataCloser)
			if !ok {
				err = errors.New("the SMTP library has changed")
			}
		}
		return err
	})
	if f != nil {
		return "", f
	}
	phase(ctx, "data")
	f = step(t.Body, CodeRefused, func() error {
		if _, err := w.Write(raw); err != nil {
			return err
		}
		return c.client.Text.W.Flush()
	})
	if f != nil {
		return "", f
	}
	// The dot follows only while the message is still ours; closing without
	// it takes the message back.
	ok, err = m.hold(ctx, a.msg.ID, a.claim, "")
	if err != nil || !ok {
		if err == nil {
			err = errLeaseLost
		}
		return "", &failure{code: CodeLost, cause: err}
	}
	phase(ctx, "body")
	a.dotted.Store(true)
	f = step(t.Dot, CodeRefused, w.Close)
	if f == nil {
		phase(ctx, "accepted")
		return masked("250 " + w.ServerResponse()), nil
	}
	if f.reply == "" { // no word from the server: it may have taken it
		f.code, f.afterDot = CodeReplyLost, true
	}
	return "", f
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// conclude writes down how the attempt ended. What the server accepted must
// not be forgotten, so this outlives a cancelled context and tries again for
// a while.
func (m *Mailer) conclude(ctx context.Context, a *attempt, f *failure, h Hooks) error {
	ctx = context.WithoutCancel(ctx)
	var o Outcome
	var after time.Duration
	accepted, stopped := f == nil, false
	write := func(told bool) error {
		return m.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
			msg, err := lock(ctx, tx, "id", string(a.msg.ID))
			if err != nil {
				return err
			}
			stopped = msg.Claim != a.claim && (!accepted || msg.State.Final())
			if stopped { // another attempt has it; what it writes stands
				return nil
			}
			msg.ServerReply = a.msg.ServerReply
			if f != nil && f.reply != "" {
				msg.ServerReply = f.reply
			}
			o, after = Outcome{State: Sent}, 0
			switch {
			case f == nil:
				msg.SentAt = &tx.Now
			case f.interrupted: // this process stops; nothing was wrong
				o.State, o.Code = Deferred, f.code
				msg.Attempts--
			case f.provider:
				o.State, o.Code = Deferred, f.code
				msg.Attempts--
				if after, err = m.trip(ctx, tx, f.code, a.probe); err != nil {
					return err
				}
			case f.permanent:
				o.State, o.Code, o.Recipient = Failed, f.code, f.recipient
			default:
				o.State, o.Code = Deferred, f.code
				after = wait(msg.Attempts)
				msg.MaybeDuplicate = msg.MaybeDuplicate || f.afterDot
			}
			if a.probe && (f == nil || !f.provider && !f.interrupted) {
				if err := m.reset(ctx, tx); err != nil {
					return err
				}
			}
			if o.State == Deferred {
				// The last wait ends where the message expires.
				after = max(min(after, msg.ExpiresAt.Sub(tx.Now)), time.Second)
				next := tx.Now.Add(after)
				msg.NextAttemptAt = &next
			}
			o.MaybeDuplicate = msg.MaybeDuplicate
			return settle(ctx, tx, msg, o, h, told)
		})
	}
	err := persist(func() error { return write(true) })
	if err != nil && !database.IsDown(err) {
		// The concept's part fails: keep the fact, and tell the concept when
		// the job comes again.
		err = errors.Join(err, persist(func() error { return write(false) }))
	}
	if err != nil {
		return fmt.Errorf("concluding a mail attempt: %w", err)
	}
	if stopped {
		return fault.RetryFree(m.cfg.Lease, CodeInFlight, errLeaseLost)
	}
	m.report(ctx, a.msg, o, after)
	if f != nil && o.State == Deferred {
		var cause error // the server's words are in the row, masked; addresses stay out of the queue
		if f.reply == "" && f.code != CodeTemplate {
			cause = errors.New("network fault")
		}
		if f.provider || f.interrupted {
			return fault.RetryFree(after, o.Code, cause)
		}
		return fault.RetryAfter(after, o.Code, cause)
	}
	return nil
}

// persist tries a write again while the database cannot be reached, for some
// ten seconds.
func persist(write func() error) error {
	err := write()
	for i := 1; i < 12 && database.IsDown(err); i++ {
		<-time.After(time.Duration(min(i, 6)) * 200 * time.Millisecond)
		err = write()
	}
	return err
}

// settle writes an outcome, its event, and tells the concept; where told is
// false the concept is left for the job's next run.
func settle(ctx context.Context, tx *database.Tx, msg *Message, o Outcome, h Hooks, told bool) error {
	msg.State, msg.FailureCode = o.State, o.Code
	msg.Claim, msg.LeaseUntil, msg.Phase = "", nil, ""
	if o.State.Final() {
		msg.Settled, msg.NextAttemptAt = told, nil
	}
	if err := save(ctx, tx, msg); err != nil {
		return err
	}
	if err := note(ctx, tx, msg.ID, string(o.State), o.Code); err != nil {
		return err
	}
	if !told {
		return nil
	}
	return tell(ctx, tx, msg, o, h)
}

func tell(ctx context.Context, tx *database.Tx, msg *Message, o Outcome, h Hooks) error {
	if h.Settle == nil {
		return nil
	}
	if err := h.Settle(ctx, tx, msg, o); err != nil {
		return fmt.Errorf("settling a message: %w", err)
	}
	return nil
}

func (m *Mailer) report(ctx context.Context, msg *Message, o Outcome, after time.Duration) {
	if m.OnOutcome != nil {
		m.OnOutcome(string(o.State), o.Code)
	}
	level := slog.LevelInfo
	if o.State == Failed {
		level = slog.LevelWarn
	}
	args := []any{"mail", msg.ID, "template", msg.Template, "to", Mask(msg.Recipient), "state", o.State, "request_id", ident.Request(ctx)}
	if o.Code != "" {
		args = append(args, "code", o.Code)
	}
	if after > 0 {
		args = append(args, "retry_in", after.Round(time.Second))
	}
	m.log.Log(ctx, level, "mail attempt", args...)
}

// folded is the form under which an address is compared and suppressed.
func folded(addr string) string {
	a, err := address.Parse(addr)
	if err != nil {
		return addr
	}
	return a.Folded()
}
