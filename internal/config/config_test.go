package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chatcluster/chatcluster/internal/config"
	"github.com/spf13/pflag"
)

func load(t *testing.T, file string, environ, args []string) (config.Config, error) {
	t.Helper()
	fs := pflag.NewFlagSet("chatd", pflag.ContinueOnError)
	c := config.Default()
	config.Bind(fs, &c)
	if file != "" {
		path := filepath.Join(t.TempDir(), "chatd.yaml")
		if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, "--config", path)
	}
	if err := fs.Parse(args); err != nil {
		t.Fatal(err)
	}
	return c, config.Load(fs, &c, environ)
}

func TestDefaultsAreValid(t *testing.T) {
	if _, err := load(t, "", nil, nil); err != nil {
		t.Errorf("got %v, want no error", err)
	}
}

func TestPrecedence(t *testing.T) {
	file := "api-addr: 127.0.0.1:1\ngateway-addr: 127.0.0.1:1\nmetrics-addr: 127.0.0.1:1\nmessage-ttl: 48h\nallowed-origins: [https://a.example, https://b.example]\n"
	environ := []string{"CHATD_GATEWAY_ADDR=127.0.0.1:2", "CHATD_METRICS_ADDR=127.0.0.1:2", "CHATD_SERVICE_HOST=10.0.0.1"}
	c, err := load(t, file, environ, []string{"--metrics-addr=127.0.0.1:3"})
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ name, got, want string }{
		{"file over default", c.APIAddr, "127.0.0.1:1"},
		{"variable over file", c.GatewayAddr, "127.0.0.1:2"},
		{"flag over variable", c.MetricsAddr, "127.0.0.1:3"},
		{"duration in the file", c.MessageTTL.String(), (48 * time.Hour).String()},
		{"list in the file", strings.Join(c.AllowedOrigins, " "), "https://a.example https://b.example"},
		{"untouched", c.SessionAccess, "members"},
	} {
		if tc.got != tc.want {
			t.Errorf("%s: got %q, want %q", tc.name, tc.got, tc.want)
		}
	}
}

func TestTrustedProxies(t *testing.T) {
	tests := []struct {
		value string
		want  string // of the networks; empty if it is refused
	}{
		{"10.0.0.0/8,fd00::/8", "10.0.0.0/8 fd00::/8"},
		{"10.1.2.3/8", "10.0.0.0/8"},
		{"192.0.2.1,2001:db8::1", "192.0.2.1/32 2001:db8::1/128"},
		{"10.0.0.0/33", ""},
		{"10.0.0.0/8,proxy.example", ""},
		{"fe80::1%eth0", ""},
		{"::ffff:10.0.0.0/104", ""},
		{"0.0.0.0/0", ""},
		{"::/0", ""},
	}
	for _, tt := range tests {
		t.Run(tt.value, func(t *testing.T) {
			c, err := load(t, "", nil, []string{"--trusted-proxies=" + tt.value})
			if (err != nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), "trusted-proxies") {
				t.Fatalf("got error %v", err)
			}
			if err != nil {
				return
			}
			var got []string
			for _, p := range c.Proxies() {
				got = append(got, p.String())
			}
			if strings.Join(got, " ") != tt.want {
				t.Errorf("got %v, want %s", got, tt.want)
			}
		})
	}
}

func TestStopWithin(t *testing.T) {
	tests := []struct {
		name string
		args []string
		want time.Duration
	}{
		{"by default", nil, 25 * time.Second},
		{"the window", []string{"--drain-delay=5s", "--drain-window=2m"}, 140 * time.Second},
		{"requests that take longer", []string{"--drain-window=0s", "--shutdown-timeout=30s"}, 45 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := load(t, "", nil, tt.args)
			if got := c.StopWithin(); err != nil || got != tt.want {
				t.Errorf("got %s, %v, want %s", got, err, tt.want)
			}
		})
	}
}

func TestListReplacesList(t *testing.T) {
	c, err := load(t, "allowed-origins: [https://a.example]\n", nil, []string{"--allowed-origins=https://b.example,https://c.example"})
	if got, want := strings.Join(c.AllowedOrigins, " "), "https://b.example https://c.example"; err != nil || got != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
}

func TestAllErrorsAtOnce(t *testing.T) {
	_, err := load(t, "no-such-key: 1\n",
		[]string{"CHATD_MESSAGE_TTL=soon"},
		[]string{"--api-addr=nowhere", "--session-access=everyone", "--log-level=loud", "--max-sockets=0"})
	if err == nil {
		t.Fatal("got no error")
	}
	for _, want := range []string{"no-such-key", "CHATD_MESSAGE_TTL", "api-addr", "session-access", "log-level", "max-sockets"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error does not name %q: %v", want, err)
		}
	}
}

func FuzzFile(f *testing.F) {
	f.Add("api-addr: 127.0.0.1:8000\nmessage-ttl: 720h\n")
	f.Add("log-partitions: 99999999999999\n")
	f.Add("[]")
	f.Fuzz(func(t *testing.T, file string) {
		// Whatever the file says, it is read or refused.
		c, err := load(t, file, nil, nil)
		if err == nil && c.MessageTTL <= 0 {
			t.Errorf("accepted a message-ttl of %s", c.MessageTTL)
		}
	})
}
