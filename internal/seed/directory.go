package seed

import (
	"bytes"
	"errors"
	"image"
	"image/color"
	"image/png"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/directory"
	"github.com/channelgraph/channelgraph/internal/file"
	"github.com/channelgraph/channelgraph/internal/ident"
)

// mark is a company's logo: a disc, a square or stripes on a plain ground.
type mark struct {
	ground, ink color.RGBA
	shape       int
}

var marks = map[string]mark{
	"nordwind.example":    {color.RGBA{0x10, 0x3f, 0x5c, 0xff}, color.RGBA{0xf4, 0xc4, 0x5d, 0xff}, 0},
	"rhinevalley.example": {color.RGBA{0xff, 0xff, 0xff, 0xff}, color.RGBA{0x1f, 0x6b, 0x4f, 0xff}, 2},
	"greatlakes.example":  {color.RGBA{0xe8, 0xf1, 0xf8, 0xff}, color.RGBA{0x1c, 0x4e, 0x9a, 0xff}, 0},
	"oresund.example":     {color.RGBA{0x8f, 0x1d, 0x2c, 0xff}, color.RGBA{0xff, 0xff, 0xff, 0xff}, 1},
}

// draw makes the picture, 240 pixels by 120.
func (m mark) draw() ([]byte, error) {
	const w, h = 240, 120
	pic := image.NewPaletted(image.Rect(0, 0, w, h), color.Palette{m.ground, m.ink})
	for y := range h {
		for x := range w {
			dx, dy := x-w/2, y-h/2
			inside := dx*dx+dy*dy < 38*38 && dx*dx+dy*dy > 20*20
			switch m.shape {
			case 1:
				inside = max(dx, -dx) < 46 && max(dy, -dy) < 30 && (dx < -18 || dx > -6)
			case 2:
				inside = max(dx, -dx) < 70 && max(dy, -dy) < 36 && (dy+dx/4+120)%24 < 12
			}
			if inside {
				pic.SetColorIndex(x, y, 1)
			}
		}
	}
	var b bytes.Buffer
	err := png.Encode(&b, pic)
	return b.Bytes(), err
}

// list lets a provider opt in to the directory.
func (p *past) list(domain string) {
	p.as("global.admin@"+domain, func(a access.Actor) error {
		_, err := p.d.Directory.SetListing(p.ctx, a, directory.SetListingInput{Listed: true})
		return err
	})
}

// file files a profile update: another name for the first card, or with a
// country instead a further location.
func (p *past) file(domain, name, country, target string, withLogo bool) {
	p.as("global.admin@"+domain, func(a access.Actor) error {
		in := directory.LocationInput{CompanyName: &name, TargetURL: &target}
		if country != "" {
			in.Country = &country
		} else {
			l, err := p.d.Directory.Listing(p.ctx, a, "")
			if err != nil {
				return err
			}
			cards, err := p.d.Directory.Locations(p.ctx, l)
			if err != nil || len(cards) == 0 {
				return errors.Join(err, errors.New("the demo provider has no card"))
			}
			in.LocationID = &cards[0].ID
		}
		if withLogo {
			picture, err := marks[domain].draw()
			if err != nil {
				return err
			}
			f, err := p.d.Files.Upload(p.ctx, a, file.UploadInput{Purpose: file.ForLogo, Name: "logo.png", Content: picture})
			if err != nil {
				return err
			}
			in.LogoFileID = &f.ID
		}
		_, err := p.d.Directory.Submit(p.ctx, a, directory.SubmitInput{Locations: []directory.LocationInput{in}})
		return err
	})
	p.settle()
}

// updating runs fn on a provider's open request as somebody.
func (p *past) updating(who, domain string, fn func(a access.Actor, id ident.ID) error) {
	p.as(who, func(a access.Actor) error {
		open, err := p.d.Directory.OpenOf(p.ctx, a, []ident.ID{p.w.partners[domain]})
		if err != nil {
			return err
		}
		r := open[p.w.partners[domain]]
		if r == nil {
			return errors.New("the demo provider has no open request")
		}
		return fn(a, r.ID)
	})
	p.settle()
}

func (p *past) take(domain string) {
	p.updating(reviewer, domain, func(a access.Actor, id ident.ID) error {
		_, err := p.d.Directory.Assign(p.ctx, a, directory.AssignInput{ProfileUpdateID: id, AssigneeID: &a.UserID})
		return err
	})
}

// show publishes what a provider files.
func (p *past) show(domain, name, country, target string) {
	p.file(domain, name, country, target, true)
	p.take(domain)
	p.updating(reviewer, domain, func(a access.Actor, id ident.ID) error {
		_, _, err := p.d.Directory.Approve(p.ctx, a, directory.ApproveInput{ProfileUpdateID: id})
		return err
	})
}

func (p *past) refuse(domain, reason string) {
	p.take(domain)
	p.updating(reviewer, domain, func(a access.Actor, id ident.ID) error {
		_, err := p.d.Directory.Reject(p.ctx, a, directory.RejectInput{ProfileUpdateID: id, Reason: reason})
		return err
	})
}

func (p *past) question(domain, text string) {
	p.take(domain)
	p.updating(reviewer, domain, func(a access.Actor, id ident.ID) error {
		_, err := p.d.Directory.Ask(p.ctx, a, directory.AskInput{ProfileUpdateID: id, Text: text})
		return err
	})
}

func (p *past) takeBack(domain string) {
	p.updating("global.admin@"+domain, domain, func(a access.Actor, id ident.ID) error {
		_, err := p.d.Directory.Withdraw(p.ctx, a, directory.WithdrawInput{ProfileUpdateID: id})
		return err
	})
}
