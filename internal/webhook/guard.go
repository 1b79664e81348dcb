package webhook

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/channelgraph/channelgraph/internal/address"
)

// refusedNetworks are what is no public unicast address, though it lies where
// those lie: IANA's special-purpose registries, and everything that wraps an
// IPv4 address, since what it leads to is decided elsewhere.
var refusedNetworks = prefixes(
	"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24",
	"192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24",
	"203.0.113.0/24", "224.0.0.0/3",
	"2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20",
)

// globalUnicast is where IPv6 has its public addresses; everything else, such
// as fc00::/7, fe80::/10, ff00::/8, ::ffff:0:0/96 and 64:ff9b::/96, is refused.
var globalUnicast = netip.MustParsePrefix("2000::/3")

func prefixes(list ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(list))
	for i, s := range list {
		out[i] = netip.MustParsePrefix(s)
	}
	return out
}

// mayConnect reports whether a message may go to an address that a name was
// resolved to, or to its port: public ones alone, and this machine itself
// where loopback is allowed.
func (c Config) mayConnect(to netip.AddrPort) bool {
	a := to.Addr()
	if c.Loopback && a.IsLoopback() {
		return true
	}
	if a.Zone() != "" || a.Is6() && !globalUnicast.Contains(a) {
		return false
	}
	return a.IsValid() && c.mayUse(to.Port()) && !slices.ContainsFunc(refusedNetworks, func(p netip.Prefix) bool { return p.Contains(a) })
}

// mayUse reports whether a port is one that HTTPS is served on.
func (c Config) mayUse(port uint16) bool {
	return port == 443 || port == 8443 || c.AnyPort && port != 0
}

// host puts the host of a URL into its plain form: a domain in lower case
// ASCII. Addresses are no names of anybody, so they are refused, but for this
// machine's where loopback is allowed.
func (c Config) host(h string) (name string, loopback, ok bool) {
	h = strings.ToLower(h)
	if a, err := netip.ParseAddr(h); c.Loopback && (h == "localhost" || err == nil && a.IsLoopback() && a.Zone() == "") {
		if err == nil && a.Is6() {
			h = "[" + h + "]"
		}
		return h, true, true
	}
	d, err := address.Domain(strings.TrimSuffix(h, "."))
	if err != nil || strings.HasSuffix(d, ".localhost") {
		return "", false, false
	}
	return d, false, true
}
