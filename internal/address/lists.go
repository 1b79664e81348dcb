package address

import (
	"embed"
	"strings"

	"github.com/channelgraph/channelgraph/internal/fault"
)

//go:embed lists/*.txt
var lists embed.FS

var (
	webmail    = list("webmail")
	disposable = list("disposable")
	roles      = list("roles")
)

func list(name string) map[string]bool {
	raw, err := lists.ReadFile("lists/" + name + ".txt")
	if err != nil {
		panic(err)
	}
	m := map[string]bool{}
	for line := range strings.Lines(string(raw)) {
		line, _, _ = strings.Cut(line, "#")
		for _, w := range strings.Fields(line) {
			m[w] = true
		}
	}
	return m
}

// Webmail reports whether mailboxes of an ASCII domain are given to anybody
// for free (spec section 2), judged by the registrable domain: a sub-domain
// of one counts, a name that merely ends alike does not.
func Webmail(domain string) bool {
	r := Registrable(domain)
	label, suffix, _ := strings.Cut(r, ".")
	return webmail[r] || webmail[domain] || suffix != "" && webmail[label+".*"]
}

// Disposable reports whether mailboxes of an ASCII domain are made to be
// thrown away.
func Disposable(domain string) bool { return disposable[Registrable(domain)] || disposable[domain] }

// Role reports whether a local part names a task instead of a person, such as
// info, admin or marketing; a +tag is not looked at.
func Role(local string) bool {
	local, _, _ = strings.Cut(strings.ToLower(local), "+")
	return roles[local]
}

// Company refuses what cannot be a company contact's own address. Errors:
// EMAIL_WEBMAIL, EMAIL_DISPOSABLE, EMAIL_ROLE_MAILBOX.
func (a Address) Company() error {
	switch {
	case Webmail(a.Domain):
		return fault.Invalid("", CodeEmailWebmail, "domain", Unicode(a.Domain))
	case Disposable(a.Domain):
		return fault.Invalid("", CodeEmailDisposable, "domain", Unicode(a.Domain))
	case Role(a.Local):
		return fault.Invalid("", CodeEmailRole)
	}
	return nil
}
