package app

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/seed"
)

// maxAdvance bounds one move of the clock.
const maxAdvance = 400 * 24 * time.Hour

// devRoutes exist only in the demo.
func (a *App) devRoutes() map[string]http.Handler {
	var one sync.Mutex
	routes := map[string]http.Handler{
		"POST /dev/clock": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			one.Lock()
			defer one.Unlock()
			var in struct {
				Advance string `json:"advance"`
			}
			dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<10))
			dec.DisallowUnknownFields()
			err := dec.Decode(&in)
			d, derr := time.ParseDuration(in.Advance)
			if err != nil || derr != nil || d < 0 || d > maxAdvance {
				reply(w, http.StatusBadRequest, map[string]any{"errors": []map[string]any{{"code": "INVALID", "path": []string{"advance"},
					"message": `Say how far to move the clock, e.g. {"advance":"48h"}; it only moves forward, at most 9600h at once.`}}})
				return
			}
			_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(5 * time.Minute))
			if err := a.Advance(r.Context(), d); err != nil {
				a.log.Error("moving the clock", "error", err)
				reply(w, http.StatusInternalServerError, map[string]any{"errors": []map[string]any{{"code": "INTERNAL", "message": "The clock could not be moved; the log says why."}}})
				return
			}
			reply(w, http.StatusOK, map[string]any{"now": a.db.Now()})
		}),
		"GET /dev/clock": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			reply(w, http.StatusOK, map[string]any{"now": a.db.Now(), "offset": a.clock.Offset().String()})
		}),
	}
	if a.mailbox != nil {
		routes["GET /dev/mail"] = a.mailbox.JSON()
		routes["DELETE /dev/mail"] = a.mailbox.JSON()
		routes["GET /dev/mail/faults"] = a.mailbox.FaultsHandler()
		routes["POST /dev/mail/faults"] = a.mailbox.FaultsHandler()
	}
	return routes
}

func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

// Advance moves the demo's clock, handles everything that falls due in order,
// and remembers the clock over restarts.
func (a *App) Advance(ctx context.Context, d time.Duration) error {
	ctx = requestID(ctx, "clock")
	if err := a.workers.Advance(ctx, a.clock, d); err != nil {
		return err
	}
	return a.keepClock(ctx)
}

func (a *App) keepClock(ctx context.Context) error {
	return a.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		return database.SetSetting(ctx, tx, clockSetting, a.clock.Offset().String())
	})
}

const demoSetting = "demo"

// startDemo starts the process with the demo world in it: filled at the first
// start, as it is at later ones. The returned world holds the passwords only
// when it was filled now.
func (a *App) startDemo(ctx context.Context) (*seed.World, error) {
	state, err := database.Setting(ctx, a.db.Read(), demoSetting)
	if err != nil {
		return nil, err
	}
	if state != "" {
		return nil, a.workers.Start(ctx)
	}
	if empty, err := a.accounts.Empty(ctx); err != nil {
		return nil, err
	} else if !empty {
		return nil, fmt.Errorf("--demo fills an empty database only, and the one in %s is in use: choose another --data", a.cfg.Data)
	}
	ctx = requestID(ctx, "demo")
	defer hush(a.log)()
	// The world has a past: its clock starts before now and ends at now.
	a.clock.Advance(-seed.Past - a.clock.Offset())
	world := seed.Plan()
	b, err := json.MarshalIndent(world.Accounts, "", "  ")
	if err != nil {
		return nil, err
	}
	if err := writeFile(filepath.Join(a.cfg.Data, "demo.json"), append(b, '\n')); err != nil {
		return nil, fmt.Errorf("writing the demo accounts: %w", err)
	}
	d := seed.Deps{DB: a.db, Accounts: a.accounts, Partners: a.partners, Partnerships: a.joined, Invitations: a.invites, Files: a.files,
		Registers: a.register, Enrollments: a.enrolled, Directory: a.listed, Support: a.helped, Agreements: a.agreed, Keys: a.secrets,
		Customers: a.buyers, Catalog: a.offers, Subscriptions: a.bought, Orders: a.orders}
	err = a.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		if err := world.Found(ctx, tx, d); err != nil {
			return err
		}
		return database.SetSetting(ctx, tx, demoSetting, "filled")
	})
	if err != nil {
		return nil, fmt.Errorf("filling the demo world: %w", err)
	}
	if err := a.workers.Start(ctx); err != nil {
		return nil, err
	}
	d.Advance = func(ctx context.Context, by time.Duration) error { return a.workers.Advance(ctx, a.clock, by) }
	if a.mailbox != nil {
		d.Bounce = a.mailbox.Bounce
	}
	if err := world.Live(ctx, d); err != nil {
		return nil, fmt.Errorf("giving the demo world its past: %w", err)
	}
	if rest := -a.clock.Offset(); rest > 0 {
		if err := a.workers.Advance(ctx, a.clock, rest); err != nil {
			return nil, err
		}
	}
	return world, a.keepClock(ctx)
}

// DemoFile is where the demo accounts are kept.
func (a *App) DemoFile() string { return filepath.Join(a.cfg.Data, "demo.json") }

func fileExists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
