package client

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gorilla/websocket"
)

// DefaultServer is the API of a server on this machine.
const DefaultServer = "http://127.0.0.1:8000"

// The ports of a server that is not behind an ingress.
const (
	apiPort     = "8000"
	gatewayPort = "8081"
)

// Options are the settings of a Client; the zero value is an anonymous client
// of DefaultServer.
type Options struct {
	// Server is the base URL of the API (http or https).
	Server string
	// Gateway is the base URL of live delivery (ws or wss). By default it is
	// the server's host: on port 8081 if the API is on 8000, else on the same
	// port, as behind an ingress.
	Gateway string
	// Token is what Login answered; empty for an anonymous client.
	Token string
	// HTTPClient makes the API calls; by default one that gives up a call
	// after 30 s.
	HTTPClient *http.Client
	// Dialer connects the WebSockets; by default one that gives up a handshake
	// after 10 s and honours the proxy variables of the environment.
	Dialer *websocket.Dialer
	// Random jitters the retries: a number in [0, 1). By default
	// math/rand/v2's Float64. It must be safe for concurrent use.
	Random func() float64
}

// Client is a user, or nobody, at one server.
type Client struct {
	server, gateway *url.URL
	token           string
	http            *http.Client
	dialer          *websocket.Dialer
	random          func() float64
}

// New returns a client, or all that is wrong with the options.
func New(o Options) (*Client, error) {
	server, serverErr := parseBase("server", cmp.Or(o.Server, DefaultServer), "http", "https")
	var gateway *url.URL
	var gatewayErr error
	switch {
	case o.Gateway != "":
		gateway, gatewayErr = parseBase("gateway", o.Gateway, "ws", "wss")
	case serverErr == nil:
		gateway = gatewayOf(server)
	}
	if err := errors.Join(serverErr, gatewayErr); err != nil {
		return nil, err
	}
	c := &Client{server: server, gateway: gateway, token: o.Token, http: o.HTTPClient, dialer: o.Dialer, random: o.Random}
	if c.http == nil {
		c.http = &http.Client{Timeout: 30 * time.Second}
	}
	if c.dialer == nil {
		c.dialer = &websocket.Dialer{Proxy: http.ProxyFromEnvironment, HandshakeTimeout: 10 * time.Second}
	}
	if c.random == nil {
		c.random = rand.Float64
	}
	return c, nil
}

// WithToken is the same client for the user of another token.
func (c *Client) WithToken(token string) *Client {
	other := *c
	other.token = token
	return &other
}

// Server is the base URL of the API, in one spelling for every way to write it.
func (c *Client) Server() string { return c.server.String() }

func parseBase(name, raw string, schemes ...string) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if (u.Scheme != schemes[0] && u.Scheme != schemes[1]) || u.Hostname() == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return nil, fmt.Errorf("%s: %q is not a URL such as %s://host:port", name, raw, schemes[0])
	}
	u.Host = strings.ToLower(u.Host)
	u.Path, u.RawPath = strings.TrimRight(u.Path, "/"), ""
	return u, nil
}

func gatewayOf(server *url.URL) *url.URL {
	g := *server
	g.Scheme = strings.Replace(server.Scheme, "http", "ws", 1)
	if server.Port() == apiPort {
		g.Host = strings.TrimSuffix(server.Host, apiPort) + gatewayPort
	}
	return &g
}
