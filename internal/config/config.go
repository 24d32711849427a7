// Package config is the server's configuration: one type, read from defaults,
// a YAML file, CHATD_* variables and flags, in rising order of precedence. The
// keys of the file are the names of the flags; a variable's name is the flag's
// in capitals, with underscores.
//
// A Config is read-only after Load.
package config

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"gopkg.in/yaml.v3"
)

// Config is the server's configuration.
type Config struct {
	DataDir     string `yaml:"data-dir"`
	APIAddr     string `yaml:"api-addr"`
	GatewayAddr string `yaml:"gateway-addr"`
	MetricsAddr string `yaml:"metrics-addr"`

	SessionAccess string        `yaml:"session-access"`
	MessageTTL    time.Duration `yaml:"message-ttl"`
	TokenTTL      time.Duration `yaml:"token-ttl"`
	LogPartitions int32         `yaml:"log-partitions"`

	MaxBodyBytes    int     `yaml:"max-body-bytes"`
	MaxMessageBytes int     `yaml:"max-message-bytes"`
	MaxFrameBytes   int     `yaml:"max-frame-bytes"`
	MaxSockets      int     `yaml:"max-sockets"`
	MaxSocketRooms  int     `yaml:"max-socket-rooms"`
	SendQueueBytes  int     `yaml:"send-queue-bytes"`
	RingBytes       int     `yaml:"ring-bytes"`
	CacheEntries    int     `yaml:"cache-entries"`
	SendRate        float64 `yaml:"send-rate"`
	SendBurst       int     `yaml:"send-burst"`
	AccountLogins   int     `yaml:"account-failed-logins"`
	AddressLogins   int     `yaml:"address-failed-logins"`

	PingInterval    time.Duration `yaml:"ping-interval"`
	PongTimeout     time.Duration `yaml:"pong-timeout"`
	WriteTimeout    time.Duration `yaml:"write-timeout"`
	LeaseTTL        time.Duration `yaml:"lease-ttl"`
	ShutdownTimeout time.Duration `yaml:"shutdown-timeout"`
	DrainDelay      time.Duration `yaml:"drain-delay"`
	DrainWindow     time.Duration `yaml:"drain-window"`
	ReadyGrace      time.Duration `yaml:"ready-grace"`

	Kafka     Kafka     `yaml:",inline"`
	Cassandra Cassandra `yaml:",inline"`

	AllowedOrigins []string `yaml:"allowed-origins"`
	TrustedProxies []string `yaml:"trusted-proxies"`
	LogFormat      string   `yaml:"log-format"`
	LogLevel       string   `yaml:"log-level"`
}

// Default is the configuration of a server that is told nothing.
func Default() Config {
	return Config{
		DataDir:         "chatd-data",
		APIAddr:         "127.0.0.1:8000",
		GatewayAddr:     "127.0.0.1:8081",
		MetricsAddr:     "127.0.0.1:9464",
		SessionAccess:   "members",
		MessageTTL:      720 * time.Hour,
		TokenTTL:        720 * time.Hour,
		MaxBodyBytes:    512 << 10,
		MaxMessageBytes: 64 << 10,
		MaxFrameBytes:   512 << 10,
		MaxSockets:      100_000,
		MaxSocketRooms:  1000,
		SendQueueBytes:  1 << 20,
		RingBytes:       8 << 20,
		CacheEntries:    100_000,
		SendRate:        1000,
		SendBurst:       5000,
		AccountLogins:   5,
		AddressLogins:   100,
		PingInterval:    25 * time.Second,
		PongTimeout:     10 * time.Second,
		WriteTimeout:    10 * time.Second,
		LeaseTTL:        10 * time.Second,
		ShutdownTimeout: 10 * time.Second,
		DrainWindow:     3 * time.Second,
		ReadyGrace:      10 * time.Second,
		Kafka:           defaultKafka(),
		Cassandra:       defaultCassandra(),
		LogFormat:       "text",
		LogLevel:        "info",
	}
}

// Bind adds the settings to the flags; c holds their defaults.
func Bind(fs *pflag.FlagSet, c *Config) {
	fs.String("config", "", "YAML file of settings; its keys are the names of these flags")
	fs.StringVar(&c.DataDir, "data-dir", c.DataDir, "folder of the log and the store")
	fs.StringVar(&c.APIAddr, "api-addr", c.APIAddr, "address of the API and the pages")
	fs.StringVar(&c.GatewayAddr, "gateway-addr", c.GatewayAddr, "address of the WebSocket delivery")
	fs.StringVar(&c.MetricsAddr, "metrics-addr", c.MetricsAddr, "address of /metrics; empty for none")
	fs.StringVar(&c.SessionAccess, "session-access", c.SessionAccess, "who may read a session whose creator chose nothing: members, or link for everyone who holds the URI")
	fs.DurationVar(&c.MessageTTL, "message-ttl", c.MessageTTL, "how long a session keeps a message, at most")
	fs.DurationVar(&c.TokenTTL, "token-ttl", c.TokenTTL, "how long a log-in lasts")
	fs.Int32Var(&c.LogPartitions, "log-partitions", c.LogPartitions, "partitions of each topic of the embedded log; 0 for as many as it has; they never shrink")
	fs.IntVar(&c.MaxBodyBytes, "max-body-bytes", c.MaxBodyBytes, "largest request body")
	fs.IntVar(&c.MaxMessageBytes, "max-message-bytes", c.MaxMessageBytes, "largest message, in bytes of UTF-8")
	fs.IntVar(&c.MaxFrameBytes, "max-frame-bytes", c.MaxFrameBytes, "largest WebSocket message from a client")
	fs.IntVar(&c.MaxSockets, "max-sockets", c.MaxSockets, "open sockets at most")
	fs.IntVar(&c.MaxSocketRooms, "max-socket-rooms", c.MaxSocketRooms, "rooms that one socket may be in")
	fs.IntVar(&c.SendQueueBytes, "send-queue-bytes", c.SendQueueBytes, "bytes that may wait for a slow socket before it is closed")
	fs.IntVar(&c.RingBytes, "ring-bytes", c.RingBytes, "bytes of recent messages kept in memory for resumes, for each partition")
	fs.IntVar(&c.CacheEntries, "cache-entries", c.CacheEntries, "tokens, users, sessions and memberships kept in memory, of each kind")
	fs.Float64Var(&c.SendRate, "send-rate", c.SendRate, "messages per second that one user may send in the long run; 0 for no limit")
	fs.IntVar(&c.SendBurst, "send-burst", c.SendBurst, "messages that one user may send at once")
	fs.IntVar(&c.AccountLogins, "account-failed-logins", c.AccountLogins, "failed log-ins per minute and account; 0 for no limit")
	fs.IntVar(&c.AddressLogins, "address-failed-logins", c.AddressLogins, "failed log-ins per minute and address; 0 for no limit")
	fs.DurationVar(&c.PingInterval, "ping-interval", c.PingInterval, "how often a socket is pinged")
	fs.DurationVar(&c.PongTimeout, "pong-timeout", c.PongTimeout, "how long a socket may take to answer a ping")
	fs.DurationVar(&c.WriteTimeout, "write-timeout", c.WriteTimeout, "how long a frame may wait for a slow socket before it is closed")
	fs.DurationVar(&c.LeaseTTL, "lease-ttl", c.LeaseTTL, "how long the presence of a gateway that died is believed")
	fs.DurationVar(&c.ShutdownTimeout, "shutdown-timeout", c.ShutdownTimeout, "how long a stop waits for requests to end")
	fs.DurationVar(&c.DrainDelay, "drain-delay", c.DrainDelay, "how long everything is still served after a stop has made /readyz fail: as long as load balancers take to notice")
	fs.DurationVar(&c.DrainWindow, "drain-window", c.DrainWindow, "over how long a stop closes the sockets")
	fs.DurationVar(&c.ReadyGrace, "ready-grace", c.ReadyGrace, "how long Kafka or Cassandra may be away before /readyz says so")
	c.Kafka.bind(fs)
	c.Cassandra.bind(fs)
	fs.StringSliceVar(&c.AllowedOrigins, "allowed-origins", c.AllowedOrigins, "origins, besides the server's own, whose pages may use a log-in cookie")
	fs.StringSliceVar(&c.TrustedProxies, "trusted-proxies", c.TrustedProxies, "networks, such as 10.0.0.0/8, of the proxies whose X-Forwarded-For is believed")
	fs.StringVar(&c.LogFormat, "log-format", c.LogFormat, "text or json")
	fs.StringVar(&c.LogLevel, "log-level", c.LogLevel, "debug, info, warn or error")
}

// Load fills c, which was bound to fs before fs was parsed, from the file, the
// variables (environ, as os.Environ gives them) and the flags, and reports all
// that is wrong with it at once.
func Load(fs *pflag.FlagSet, c *Config, environ []string) error {
	given := map[string]string{}
	fs.Visit(func(f *pflag.Flag) { given[f.Name] = flagText(f) })
	variables := variablesOf(fs, environ)

	*c = Default()
	var errs []error
	file := variables["config"]
	if path, ok := given["config"]; ok {
		file = path
	}
	if file != "" {
		errs = append(errs, c.readFile(file))
	}
	fs.VisitAll(func(f *pflag.Flag) {
		if value, ok := variables[f.Name]; ok {
			if err := setFlag(f, value); err != nil {
				errs = append(errs, fmt.Errorf("variable %s: %w", variableName(f.Name), err))
			}
		}
		if value, ok := given[f.Name]; ok {
			if err := setFlag(f, value); err != nil {
				errs = append(errs, fmt.Errorf("flag --%s: %w", f.Name, err))
			}
		}
	})
	return errors.Join(append(errs, c.Validate())...)
}

// setFlag sets a flag to value; a list is replaced, not added to.
func setFlag(f *pflag.Flag, value string) error {
	if list, ok := f.Value.(pflag.SliceValue); ok {
		return list.Replace(strings.FieldsFunc(value, func(r rune) bool { return r == ',' }))
	}
	return f.Value.Set(value)
}

// flagText is the flag's value in the form that setFlag takes.
func flagText(f *pflag.Flag) string {
	if list, ok := f.Value.(pflag.SliceValue); ok {
		return strings.Join(list.GetSlice(), ",")
	}
	return f.Value.String()
}

// variableName is the name of the variable that sets a flag.
func variableName(flag string) string {
	return "CHATD_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// variablesOf finds the settings among the variables. Others that begin with
// CHATD_ are not ours to judge: Kubernetes sets some for a Service of that
// name.
func variablesOf(fs *pflag.FlagSet, environ []string) map[string]string {
	flags := map[string]string{}
	fs.VisitAll(func(f *pflag.Flag) { flags[variableName(f.Name)] = f.Name })
	found := map[string]string{}
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		if flag, ok := flags[name]; ok {
			found[flag] = value
		}
	}
	return found
}

func (c *Config) readFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("open configuration: %w", err)
	}
	defer f.Close()
	decoder := yaml.NewDecoder(f)
	decoder.KnownFields(true)
	if err := decoder.Decode(c); err != nil {
		return fmt.Errorf("read configuration %s: %w", path, err)
	}
	return nil
}

// Level is LogLevel as slog knows it.
func (c *Config) Level() slog.Level {
	var level slog.Level
	// validate has checked it.
	_ = level.UnmarshalText([]byte(c.LogLevel))
	return level
}

// Validate reports all that is wrong with the settings at once.
func (c *Config) Validate() error {
	v := validator{}
	v.check(c.DataDir != "", "data-dir", "must name a folder")
	for _, a := range []struct{ name, value string }{
		{"api-addr", c.APIAddr}, {"gateway-addr", c.GatewayAddr}, {"metrics-addr", c.MetricsAddr},
	} {
		_, _, err := net.SplitHostPort(a.value)
		v.check(err == nil || (a.name == "metrics-addr" && a.value == ""), a.name, "must be host:port, not %q", a.value)
	}
	v.oneOf("session-access", c.SessionAccess, "members", "link")
	v.oneOf("log-format", c.LogFormat, "text", "json")
	v.oneOf("log-level", c.LogLevel, "debug", "info", "warn", "error")

	v.duration("message-ttl", c.MessageTTL, time.Minute, 10*365*24*time.Hour)
	v.duration("token-ttl", c.TokenTTL, time.Minute, 10*365*24*time.Hour)
	v.duration("ping-interval", c.PingInterval, 100*time.Millisecond, time.Hour)
	v.duration("pong-timeout", c.PongTimeout, 100*time.Millisecond, time.Hour)
	v.duration("write-timeout", c.WriteTimeout, 100*time.Millisecond, time.Hour)
	v.duration("lease-ttl", c.LeaseTTL, time.Second, time.Hour)
	v.duration("shutdown-timeout", c.ShutdownTimeout, 0, time.Hour)
	v.duration("drain-delay", c.DrainDelay, 0, time.Hour)
	v.duration("drain-window", c.DrainWindow, 0, time.Hour)
	v.duration("ready-grace", c.ReadyGrace, 0, time.Hour)

	v.integer("log-partitions", int(c.LogPartitions), 0, 1024)
	v.integer("max-message-bytes", c.MaxMessageBytes, 1, 900<<10)
	v.integer("max-body-bytes", c.MaxBodyBytes, 1024, 64<<20)
	v.integer("max-frame-bytes", c.MaxFrameBytes, 1024, 64<<20)
	v.integer("max-sockets", c.MaxSockets, 1, 10_000_000)
	v.integer("max-socket-rooms", c.MaxSocketRooms, 1, 1_000_000)
	v.integer("send-queue-bytes", c.SendQueueBytes, 4096, 1<<30)
	v.integer("ring-bytes", c.RingBytes, 4096, 1<<40)
	v.integer("cache-entries", c.CacheEntries, 100, 10_000_000)
	v.check(c.SendRate >= 0, "send-rate", "must not be negative, as %g is", c.SendRate)
	v.check(c.SendRate == 0 || c.SendBurst >= 1, "send-burst", "must be at least 1, not %d", c.SendBurst)
	v.check(c.AccountLogins >= 0, "account-failed-logins", "must not be negative, as %d is", c.AccountLogins)
	v.check(c.AddressLogins >= 0, "address-failed-logins", "must not be negative, as %d is", c.AddressLogins)
	for _, text := range c.TrustedProxies {
		_, err := parseNetwork(text)
		v.check(err == nil, "trusted-proxies", "must be networks such as 10.0.0.0/8: %q %v", text, err)
	}
	c.Kafka.validate(&v)
	c.Cassandra.validate(&v)
	v.check((len(c.Kafka.Brokers) > 0) == (len(c.Cassandra.Hosts) > 0), "kafka-brokers and cassandra-hosts",
		"go together: both for a cluster, none for a server with its data on disk")
	return errors.Join(v.errs...)
}

// Proxies are the networks of TrustedProxies.
func (c *Config) Proxies() []netip.Prefix {
	var networks []netip.Prefix
	for _, text := range c.TrustedProxies {
		if p, err := parseNetwork(text); err == nil { // validate has checked it
			networks = append(networks, p)
		}
	}
	return networks
}

// parseNetwork reads a network, or an address as a network of one.
func parseNetwork(text string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(text)
	if err != nil {
		addr, addrErr := netip.ParseAddr(text)
		if addrErr != nil || addr.Zone() != "" {
			return netip.Prefix{}, errors.New("is none")
		}
		p = netip.PrefixFrom(addr, addr.BitLen())
	}
	switch {
	case p.Addr().Is4In6():
		return netip.Prefix{}, errors.New("has to be written as IPv4")
	case p.Bits() == 0:
		return netip.Prefix{}, errors.New("would let everyone choose their address")
	default:
		return p.Masked(), nil
	}
}

// StopRest is how long a stop takes beyond what the settings say, at most: the
// sockets' goodbyes, the last writes and the closing of the backends.
const StopRest = 15 * time.Second

// StopWithin is how long the server takes to stop, at most: the least for
// Kubernetes' terminationGracePeriodSeconds.
func (c *Config) StopWithin() time.Duration {
	return c.DrainDelay + max(c.DrainWindow, c.ShutdownTimeout) + StopRest
}

// Cluster reports whether the server is part of a cluster.
func (c *Config) Cluster() bool { return len(c.Kafka.Brokers) > 0 }

// validator collects what is wrong.
type validator struct{ errs []error }

func (v *validator) check(ok bool, name, format string, args ...any) {
	if !ok {
		v.errs = append(v.errs, fmt.Errorf("%s "+format, append([]any{name}, args...)...))
	}
}

func (v *validator) oneOf(name, value string, allowed ...string) {
	v.check(slices.Contains(allowed, value), name, "must be one of %s, not %q", strings.Join(allowed, ", "), value)
}

func (v *validator) duration(name string, value, low, high time.Duration) {
	v.check(value >= low && value <= high, name, "must be between %s and %s, not %s", low, high, value)
}

func (v *validator) integer(name string, value, low, high int) {
	v.check(value >= low && value <= high, name, "must be between %d and %d, not %d", low, high, value)
}
