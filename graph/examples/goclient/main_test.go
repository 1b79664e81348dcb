package goclient_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/channelgraph/channelgraph/internal/app"
	"github.com/channelgraph/channelgraph/internal/config"
)

// installation is a channelgraph with the demo world in it, in this process.
type installation struct {
	base      string
	passwords map[string]string // by address
	stop      func() error
}

var (
	installed = sync.OnceValues(install)
	started   atomic.Bool
)

func install() (_ *installation, err error) {
	started.Store(true)
	data, err := os.MkdirTemp("", "channelgraph-example-")
	if err != nil {
		return nil, err
	}
	cfg, err := config.Load(func(string) string { return "" }, map[string]string{"ADDR": "127.0.0.1:0", "DATA": data})
	if err != nil {
		return nil, err
	}
	cfg.Demo = true
	ctx, cancel := context.WithCancel(context.Background())
	a, err := app.New(ctx, cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		cancel()
		return nil, err
	}
	world, err := a.Start(ctx)
	if err != nil {
		a.Close()
		cancel()
		return nil, err
	}
	i := &installation{base: a.PublicURL(), passwords: map[string]string{}}
	for _, account := range world.Accounts {
		i.passwords[account.Email] = account.Password
	}
	served := make(chan error, 1)
	go func() { served <- a.Serve(ctx) }()
	i.stop = func() error {
		cancel()
		if err := <-served; err != nil {
			return err
		}
		return os.RemoveAll(data)
	}
	return i, nil
}

// demo gives the address of the demo installation, and how a person signs in
// there. It is started by whoever asks first.
func demo(email string) (base, address, password string) {
	i, err := installed()
	if err != nil {
		panic(err) // no example can go on
	}
	return i.base, email, i.passwords[email]
}

func TestMain(m *testing.M) {
	code := m.Run()
	if started.Load() {
		if i, err := installed(); err == nil {
			if err := i.stop(); err != nil {
				fmt.Fprintln(os.Stderr, "stopping the demo:", err)
				code = 1
			}
		}
	}
	os.Exit(code)
}
