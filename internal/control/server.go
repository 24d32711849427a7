package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
	"github.com/chatcluster/chatcluster/internal/clean"
)

// addressFile holds the path of the socket. It stands in the data directory;
// the socket itself may not, since its path must fit 107 bytes.
const (
	addressFile   = "control"
	maxSocketPath = 100
)

// Serve answers commands for the data directory until ctx ends. The caller
// owns the directory's lock, so what an earlier server left there is stale.
func Serve(ctx context.Context, dataDir string, ops Operations) error {
	path, cleanUp, err := socketPath(dataDir)
	if err != nil {
		return err
	}
	defer cleanUp()
	listener, err := net.Listen("unix", path)
	if err != nil {
		return fmt.Errorf("listen for commands: %w", err)
	}
	address := filepath.Join(dataDir, addressFile)
	if err := os.WriteFile(address, []byte(path), 0o600); err != nil {
		return errors.Join(fmt.Errorf("write control address: %w", err), listener.Close())
	}
	defer os.Remove(address)

	mux := http.NewServeMux()
	mux.HandleFunc("POST /clean", func(w http.ResponseWriter, r *http.Request) { serveClean(w, r, ops) })
	mux.HandleFunc("POST /superuser", func(w http.ResponseWriter, r *http.Request) { serveSuperuser(w, r, ops) })
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, BaseContext: func(net.Listener) context.Context { return ctx }}
	stop := context.AfterFunc(ctx, func() { server.Close() })
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve commands: %w", err)
	}
	return nil
}

// socketPath is where the socket goes: into the data directory, or where that
// path is too long for a socket, into a new private folder.
func socketPath(dataDir string) (path string, cleanUp func(), err error) {
	abs, err := filepath.Abs(dataDir)
	if err != nil {
		return "", nil, fmt.Errorf("find data directory: %w", err)
	}
	path = filepath.Join(abs, "control.sock")
	if len(path) <= maxSocketPath {
		// Left by a server that was killed.
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return "", nil, fmt.Errorf("remove stale control socket: %w", err)
		}
		return path, func() { os.Remove(path) }, nil
	}
	dir, err := os.MkdirTemp("", "chatd-*")
	if err != nil {
		return "", nil, fmt.Errorf("make folder for control socket: %w", err)
	}
	return filepath.Join(dir, "control.sock"), func() { os.RemoveAll(dir) }, nil
}

// serveClean answers one cleanFrame a line.
func serveClean(w http.ResponseWriter, r *http.Request, ops Operations) {
	var o clean.Options
	if err := json.NewDecoder(r.Body).Decode(&o); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	encoder, flusher := json.NewEncoder(w), http.NewResponseController(w)
	// A client that is gone does not stop a clean half-way; what it is told
	// goes nowhere then.
	send := func(frame cleanFrame) {
		if encoder.Encode(frame) == nil {
			_ = flusher.Flush()
		}
	}
	report, err := ops.Clean(context.WithoutCancel(r.Context()), o, func(so clean.Report) { send(cleanFrame{Report: so}) })
	send(cleanFrame{Report: report, Done: err == nil, Error: toWire(err)})
}

func serveSuperuser(w http.ResponseWriter, r *http.Request, ops Operations) {
	var n chat.NewUser
	if err := json.NewDecoder(r.Body).Decode(&n); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	user, err := ops.CreateSuperuser(r.Context(), n)
	user.PasswordHash = ""
	// The write fails only if the client is gone, and then nobody is left to
	// tell.
	_ = json.NewEncoder(w).Encode(superuserFrame{User: user, Error: toWire(err)})
}
