package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"

	"github.com/chatcluster/chatcluster/internal/chat"
	"github.com/chatcluster/chatcluster/internal/clean"
)

// Client gives commands to the server that owns a data directory. It is
// Operations.
type Client struct {
	http *http.Client
}

// Dial returns a Client for the server that owns dataDir.
func Dial(dataDir string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		path, err := os.ReadFile(filepath.Join(dataDir, addressFile))
		if err != nil {
			return nil, err
		}
		var d net.Dialer
		return d.DialContext(ctx, "unix", string(path))
	}
	return &Client{http: &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}}
}

// Clean is Operations.Clean at the server.
func (c *Client) Clean(ctx context.Context, o clean.Options, progress func(clean.Report)) (clean.Report, error) {
	var last cleanFrame
	err := c.call(ctx, "clean", o, func(decoder *json.Decoder) error {
		for !last.Done && last.Error == nil {
			last = cleanFrame{}
			if err := decoder.Decode(&last); err != nil {
				return fmt.Errorf("the server stopped before the clean was done: %w", err)
			}
			if !last.Done {
				progress(last.Report)
			}
		}
		return last.Error.err()
	})
	return last.Report, err
}

// CreateSuperuser is Operations.CreateSuperuser at the server.
func (c *Client) CreateSuperuser(ctx context.Context, n chat.NewUser) (chat.User, error) {
	var frame superuserFrame
	err := c.call(ctx, "superuser", n, func(decoder *json.Decoder) error {
		if err := decoder.Decode(&frame); err != nil {
			return fmt.Errorf("read answer: %w", err)
		}
		return frame.Error.err()
	})
	return frame.User, err
}

func (c *Client) call(ctx context.Context, command string, body any, read func(*json.Decoder) error) error {
	encoded, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("encode command: %w", err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://chatd/"+command, bytes.NewReader(encoded))
	if err != nil {
		return fmt.Errorf("make command: %w", err)
	}
	response, err := c.http.Do(request)
	if err != nil {
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
			return fmt.Errorf("%w: %w", ErrNoServer, err)
		}
		return fmt.Errorf("give command: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(response.Body, 4096))
		return fmt.Errorf("the server refused the command: %s: %s", response.Status, text)
	}
	return read(json.NewDecoder(response.Body))
}
