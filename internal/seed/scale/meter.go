package scale

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// Meter shows how far the world is: a bar that is drawn over on a terminal, a
// line for every twentieth elsewhere.
type Meter struct {
	Out io.Writer
	// Terminal says that what was written can be written over.
	Terminal bool
	// Total is how many customers there will be.
	Total int
	// Now is the wall clock.
	Now func() time.Time

	begun time.Time
	first int
	shown int
}

const barWidth = 30

// Show is told how many customers are there.
func (m *Meter) Show(done int) {
	if m.begun.IsZero() {
		m.begun, m.first, m.shown = m.Now(), done, -1
	}
	full := 1.0
	if m.Total > 0 {
		full = float64(done) / float64(m.Total)
	}
	text := fmt.Sprintf("%3.0f %%  %s of %s customers", full*100, Thousands(done), Thousands(m.Total))
	if spent := m.Now().Sub(m.begun); done > m.first && spent > 0 {
		rate := float64(done-m.first) / spent.Seconds()
		text += fmt.Sprintf(", %s a second", Thousands(int(rate)))
		if done < m.Total {
			text += fmt.Sprintf(", %s to go", (time.Duration(float64(m.Total-done)/rate) * time.Second).Round(time.Second))
		}
	}
	switch step := int(full * 20); {
	case m.Terminal:
		filled := int(full * barWidth)
		_, _ = fmt.Fprintf(m.Out, "\r[%s%s] %s\x1b[K", strings.Repeat("#", filled), strings.Repeat(".", barWidth-filled), text)
		if done == m.Total {
			_, _ = fmt.Fprintln(m.Out)
		}
	case step > m.shown:
		m.shown = step
		_, _ = fmt.Fprintln(m.Out, text)
	}
}
