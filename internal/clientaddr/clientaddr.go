// Package clientaddr tells from which network address a request comes, also
// where it was forwarded by proxies.
//
// A Resolver is safe for concurrent use and starts no goroutine.
package clientaddr

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// header is what every proxy appends its peer's address to
// (https://developer.mozilla.org/docs/Web/HTTP/Reference/Headers/X-Forwarded-For).
const header = "X-Forwarded-For"

// networkBits is how much of an IPv6 address tells its owner: a customer has at
// least a /64, and can be everyone in it.
const networkBits = 64

// Resolver knows which proxies can be believed.
type Resolver struct{ trusted []netip.Prefix }

// New returns a Resolver that believes the header of the trusted proxies; it
// believes nobody's where there are none.
func New(trusted []netip.Prefix) *Resolver { return &Resolver{trusted: trusted} }

// Of is the address of whoever the request comes from: the first one, seen from
// here, that is no trusted proxy. What stands to the left of it in the header is
// its own claim and does not count. If a trusted proxy has written what is no
// address, it is that proxy's. Of an IPv6 address it is the network, as
// 2001:db8::/64; if the peer has no address, it is what net/http calls it.
func (r *Resolver) Of(request *http.Request) string {
	addr, ok := parse(request.RemoteAddr)
	if !ok {
		return request.RemoteAddr
	}
	for hop := range hops(request.Header.Values(header)) {
		if !r.trusts(addr) {
			break
		}
		next, ok := parse(hop)
		if !ok {
			break
		}
		addr = next
	}
	return network(addr)
}

func (r *Resolver) trusts(addr netip.Addr) bool {
	return slices.ContainsFunc(r.trusted, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// hops are the entries of the header from the last to the first. Several headers
// are one list in their order.
func hops(values []string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for _, value := range slices.Backward(values) {
			for more := true; more; {
				comma := strings.LastIndexByte(value, ',')
				if !yield(strings.TrimSpace(value[comma+1:])) {
					return
				}
				if more = comma >= 0; more {
					value = value[:comma]
				}
			}
		}
	}
}

// parse reads an address, with or without a port or brackets. An IPv4 address
// in IPv6 form is the IPv4 address, and zones are left out: they mean nothing
// elsewhere.
func parse(s string) (netip.Addr, bool) {
	if host, ok := strings.CutPrefix(s, "["); ok {
		if host, ok = strings.CutSuffix(host, "]"); ok {
			s = host
		}
	}
	addr, err := netip.ParseAddr(s)
	if err != nil {
		var withPort netip.AddrPort
		if withPort, err = netip.ParseAddrPort(s); err != nil {
			return netip.Addr{}, false
		}
		addr = withPort.Addr()
	}
	return addr.Unmap().WithZone(""), true
}

func network(addr netip.Addr) string {
	if addr.Is4() {
		return addr.String()
	}
	return netip.PrefixFrom(addr, networkBits).Masked().String()
}
