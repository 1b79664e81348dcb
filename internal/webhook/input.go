package webhook

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/channelgraph/channelgraph/internal/address"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
)

// Codes of refusals.
const (
	CodeURLInvalid     = "WEBHOOK_URL_INVALID"
	CodeURLCredentials = "WEBHOOK_URL_CREDENTIALS"
	CodeURLHost        = "WEBHOOK_URL_HOST"
	CodeURLPort        = "WEBHOOK_URL_PORT"
	CodeURLTaken       = "WEBHOOK_URL_TAKEN"
	CodeEventUnknown   = "WEBHOOK_EVENT_UNKNOWN"
	CodeNotEnabled     = "WEBHOOK_NOT_ENABLED"
	CodeNotPaused      = "WEBHOOK_NOT_PAUSED"
	CodeNotReplayable  = "WEBHOOK_NOT_REPLAYABLE"
	CodeReplayRange    = "WEBHOOK_REPLAY_RANGE"
)

const (
	maxURL         = 500
	maxDescription = 100
)

// CreateInput makes an endpoint.
type CreateInput struct {
	URL         string
	Description string
	// Events are the types to be told; none means all, also those to come.
	Events         []Type
	IdempotencyKey *string
}

// UpdateInput changes an endpoint; nil keeps a field.
type UpdateInput struct {
	EndpointID  ident.ID
	URL         *string
	Description *string
	// Events replaces the types; none means all.
	Events          []Type
	ExpectedVersion *int
}

// RotateInput gives an endpoint a new secret.
type RotateInput struct {
	EndpointID     ident.ID
	IdempotencyKey *string
}

// ReplayFailedInput sends all failed messages since a moment again.
type ReplayFailedInput struct {
	EndpointID ident.ID
	Since      time.Time
}

// Filter narrows a list of endpoints.
type Filter struct{ Status *Status }

// DeliveryFilter narrows a list of deliveries; conditions given together must
// all hold.
type DeliveryFilter struct {
	EndpointID *ident.ID
	State      *State
	EventType  *Type
	Since      *time.Time
	Until      *time.Time
}

type check struct{ fault.Problems }

// Validate puts the endpoint into its stored form or says all that is wrong
// with it.
func (in *CreateInput) Validate(c Config) error {
	var k check
	in.URL = k.url("url", in.URL, c)
	in.Description = k.description("description", in.Description)
	in.Events = k.events("events", in.Events)
	return k.Err()
}

// Validate does the same for what is to change.
func (in *UpdateInput) Validate(c Config) error {
	var k check
	if in.URL != nil {
		u := k.url("url", *in.URL, c)
		in.URL = &u
	}
	if in.Description != nil {
		d := k.description("description", *in.Description)
		in.Description = &d
	}
	if in.Events != nil {
		in.Events = k.events("events", in.Events)
	}
	return k.Err()
}

// Validate refuses a moment from which nothing is kept, or that is to come.
func (in *ReplayFailedInput) Validate(now time.Time) error {
	var k check
	if in.Since.After(now) || in.Since.Before(now.Add(-KeepFor)) {
		k.Add("since", CodeReplayRange, "days", strconv.Itoa(int(KeepFor/(24*time.Hour))))
	}
	return k.Err()
}

func (k *check) description(path, s string) string {
	if strings.TrimSpace(s) == "" {
		k.Add(path, fault.CodeRequired)
		return ""
	}
	d, err := address.Name(s, maxDescription)
	if err := k.Merge(path, err); err != nil {
		k.Add(path, fault.CodeInvalid)
	}
	return d
}

// events puts types into their stable order without repetition.
func (k *check) events(path string, in []Type) []Type {
	if len(in) > len(Types) {
		k.Add(path, fault.CodeTooMany, "max", strconv.Itoa(len(Types)))
		return nil
	}
	for i, t := range in {
		if !slices.Contains(Types, t) {
			k.Add(path+"."+strconv.Itoa(i), CodeEventUnknown)
		}
	}
	out := []Type{}
	for _, t := range Types {
		if slices.Contains(in, t) {
			out = append(out, t)
		}
	}
	return out
}

// url reads where messages are to go: https, a public domain name, a port of
// HTTPS, nothing that is a secret or is never sent. Where loopback is allowed,
// http to this machine is, too.
func (k *check) url(path, s string, c Config) string {
	s = strings.TrimSpace(s)
	switch {
	case s == "":
		k.Add(path, fault.CodeRequired)
		return ""
	case len(s) > maxURL:
		k.Add(path, fault.CodeTooLong, "max", strconv.Itoa(maxURL))
		return ""
	case !address.Clean(s) || strings.ContainsAny(s, " \\"):
		k.Add(path, CodeURLInvalid)
		return ""
	}
	u, err := url.Parse(s)
	if err != nil || u.Opaque != "" || u.Host == "" || u.Fragment != "" || strings.HasSuffix(s, "#") {
		k.Add(path, CodeURLInvalid)
		return ""
	}
	if u.User != nil {
		k.Add(path, CodeURLCredentials)
		return ""
	}
	host, loopback, ok := c.host(u.Hostname())
	port, scheme := u.Port(), strings.ToLower(u.Scheme)
	switch {
	case scheme != "https" && (scheme != "http" || !loopback):
		k.Add(path, CodeURLInvalid)
	case !ok:
		k.Add(path, CodeURLHost)
	case strings.HasSuffix(u.Host, ":") || port != "" && !loopback && !c.port(port):
		k.Add(path, CodeURLPort)
	default:
		u.Scheme, u.Host = scheme, host
		if port != "" && (scheme != "https" || port != "443") {
			u.Host += ":" + port
		}
		if u.Path == "" {
			u.Path = "/"
		}
		if out := u.String(); len(out) <= maxURL {
			return out
		}
		k.Add(path, fault.CodeTooLong, "max", strconv.Itoa(maxURL))
	}
	return ""
}

func (c Config) port(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && c.mayUse(uint16(n))
}
