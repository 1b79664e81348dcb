package model

import (
	"github.com/channelgraph/channelgraph/internal/calendar"
	"github.com/channelgraph/channelgraph/internal/page"
)

type (
	// HolidayConnection is a page of holidays.
	HolidayConnection = page.Connection[*calendar.Holiday]
	// HolidayEdge is a row of a page of holidays.
	HolidayEdge = page.Edge[*calendar.Holiday]
	// SetCalendarError is why setCalendar did nothing.
	SetCalendarError UserError
	// AddHolidayError is why addHoliday did nothing.
	AddHolidayError UserError
	// RemoveHolidayError is why removeHoliday did nothing.
	RemoveHolidayError UserError
)
