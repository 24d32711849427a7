package clientaddr_test

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/chatcluster/chatcluster/internal/clientaddr"
)

func TestOf(t *testing.T) {
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	tests := []struct {
		name    string
		trusted []netip.Prefix
		peer    string
		headers []string
		want    string
	}{
		{"no proxy", proxies, "203.0.113.7:4711", nil, "203.0.113.7"},
		{"a header of someone who is not trusted", proxies, "203.0.113.7:4711", []string{"198.51.100.1"}, "203.0.113.7"},
		{"a header where nobody is trusted", nil, "10.0.0.1:4711", []string{"198.51.100.1"}, "10.0.0.1"},
		{"one proxy", proxies, "10.0.0.1:4711", []string{"198.51.100.1"}, "198.51.100.1"},
		{"a proxy without the header", proxies, "10.0.0.1:4711", nil, "10.0.0.1"},
		{"two proxies", proxies, "10.0.0.1:4711", []string{"198.51.100.1, 10.0.0.2"}, "198.51.100.1"},
		{"two headers", proxies, "10.0.0.1:4711", []string{"198.51.100.1", "10.0.0.2"}, "198.51.100.1"},
		{"a client that claims another address", proxies, "10.0.0.1:4711", []string{"192.0.2.99, 198.51.100.1, 10.0.0.2"}, "198.51.100.1"},
		{"a client that claims to be a proxy", proxies, "10.0.0.1:4711", []string{"192.0.2.99, 10.0.0.9, 198.51.100.1"}, "198.51.100.1"},
		{"a claim in a header of its own", proxies, "10.0.0.1:4711", []string{"192.0.2.99", "198.51.100.1"}, "198.51.100.1"},
		{"a client inside", proxies, "10.0.0.1:4711", []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3"},
		{"spaces and ports", proxies, "10.0.0.1:4711", []string{" 198.51.100.1:1234 ,\t10.0.0.2:80"}, "198.51.100.1"},
		{"garbage from a proxy", proxies, "10.0.0.1:4711", []string{"198.51.100.1, unknown"}, "10.0.0.1"},
		{"garbage from a client", proxies, "10.0.0.1:4711", []string{"<script>, 198.51.100.1"}, "198.51.100.1"},
		{"garbage from the second proxy", proxies, "10.0.0.1:4711", []string{"_hidden, 10.0.0.2"}, "10.0.0.2"},
		{"an empty header", proxies, "10.0.0.1:4711", []string{""}, "10.0.0.1"},
		{"empty entries", proxies, "10.0.0.1:4711", []string{",,,"}, "10.0.0.1"},
		{"a name is no address", proxies, "10.0.0.1:4711", []string{"localhost"}, "10.0.0.1"},
		{"IPv6", proxies, "[2001:db8:0:1::7]:4711", nil, "2001:db8:0:1::/64"},
		{"neighbours in one IPv6 network are one", proxies, "[2001:db8:0:1:ffff::1]:4711", nil, "2001:db8:0:1::/64"},
		{"IPv6 by an IPv6 proxy", proxies, "[fd00::1]:4711", []string{"2001:db8::7"}, "2001:db8::/64"},
		{"IPv6 in brackets", proxies, "[fd00::1]:4711", []string{"[2001:db8::7]"}, "2001:db8::/64"},
		{"IPv6 in brackets with a port", proxies, "[fd00::1]:4711", []string{"[2001:db8::7]:443"}, "2001:db8::/64"},
		{"IPv4 as IPv6", proxies, "[::ffff:10.0.0.1]:4711", []string{"::ffff:198.51.100.1"}, "198.51.100.1"},
		{"a zone", proxies, "[fe80::1%eth0]:4711", nil, "fe80::/64"},
		{"no address at all", proxies, "@", []string{"198.51.100.1"}, "@"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := &http.Request{RemoteAddr: tt.peer, Header: http.Header{"X-Forwarded-For": tt.headers}}
			if got := clientaddr.New(tt.trusted).Of(r); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

// FuzzOf: whatever a client claims, behind a proxy it is who the proxy saw.
func FuzzOf(f *testing.F) {
	f.Add("192.0.2.1")
	f.Add("10.0.0.9, , [::1")
	f.Fuzz(func(t *testing.T, claim string) {
		resolver := clientaddr.New([]netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")})
		for _, headers := range [][]string{{claim, "198.51.100.1"}, {claim + ", 198.51.100.1"}} {
			r := &http.Request{RemoteAddr: "10.0.0.1:1", Header: http.Header{"X-Forwarded-For": headers}}
			if got := resolver.Of(r); got != "198.51.100.1" {
				t.Errorf("claim %q: got %s, want 198.51.100.1", strings.Join(headers, "|"), got)
			}
		}
	})
}
