package seed

import (
	"errors"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/page"
	"github.com/channelgraph/channelgraph/internal/partnership"
	"github.com/channelgraph/channelgraph/internal/support"
)

// help asks the operator for help and gives the request's id.
func (p *past) help(who string, severity support.Severity, subject, text string, change ...func(access.Actor, *support.OpenInput) error) (id ident.ID) {
	p.as(who, func(a access.Actor) error {
		in := support.OpenInput{Kind: support.General, Severity: &severity, Subject: subject, Text: text}
		for _, c := range change {
			if err := c(a, &in); err != nil {
				return err
			}
		}
		r, err := p.d.Support.Open(p.ctx, a, in)
		if err == nil {
			id = r.ID
		}
		return err
	})
	p.settle()
	return id
}

// aboutEnd makes a request one about the open end of a partnership.
func (p *past) aboutEnd(provider string) func(access.Actor, *support.OpenInput) error {
	return func(a access.Actor, in *support.OpenInput) error {
		ps, err := p.partnership(a, provider)
		if err != nil {
			return err
		}
		ends, err := p.d.Partnerships.OpenTerminations(p.ctx, a, []ident.ID{ps.ID})
		if err != nil {
			return err
		}
		if ends[ps.ID] == nil {
			return errors.New("the demo request to end a partnership is missing")
		}
		in.Kind, in.AboutID = support.EndPartnership, &ends[ps.ID].ID
		return nil
	}
}

func (p *past) reply(who string, request ident.ID, text string, attention bool) {
	p.as(who, func(a access.Actor) error {
		_, err := p.d.Support.Reply(p.ctx, a, support.ReplyInput{RequestID: request, Text: text, NeedsAttention: attention})
		return err
	})
	p.settle()
}

// handle gives a request to a reviewer, who notes something.
func (p *past) handle(who string, request ident.ID, note string) {
	p.as(who, func(a access.Actor) error {
		if _, err := p.d.Support.Assign(p.ctx, a, support.AssignInput{RequestID: request, AssigneeID: &a.UserID}); err != nil {
			return err
		}
		_, err := p.d.Support.AddNote(p.ctx, a, support.NoteInput{RequestID: request, Text: note})
		return err
	})
}

func (p *past) close(who string, request ident.ID, text string) {
	p.as(who, func(a access.Actor) error {
		_, err := p.d.Support.Close(p.ctx, a, support.CloseInput{RequestID: request, Text: &text})
		return err
	})
	p.settle()
}

// takeEnd gives the open requests to end a partnership to a reviewer.
func (p *past) takeEnd(who string) {
	p.as(who, func(a access.Actor) error {
		c, err := p.d.Partnerships.ListTerminations(p.ctx, a, page.Args{}, partnership.TerminationFilter{Status: []partnership.TerminationStatus{partnership.TerminationRequested}})
		if err != nil {
			return err
		}
		for _, t := range c.Nodes() {
			if _, err := p.d.Partnerships.AssignTermination(p.ctx, a, partnership.AssignTerminationInput{TerminationID: t.ID, AssigneeID: &a.UserID}); err != nil {
				return err
			}
		}
		return nil
	})
}
