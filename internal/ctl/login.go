package ctl

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
)

// login is a log-in that is kept between runs, in a file for each server: two
// runs that log in to different servers cannot undo each other.
type login struct {
	Server   string `json:"server"`
	Username string `json:"username"`
	Token    string `json:"token"`
}

func loginPath(dir, server string) string {
	return filepath.Join(dir, url.QueryEscape(server)+".json")
}

// loadLogin answers a login without a token if there is none.
func loadLogin(dir, server string) (login, error) {
	none := login{Server: server}
	path := loginPath(dir, server)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return none, nil
	}
	if err != nil {
		return none, fmt.Errorf("read your log-in: %w", err)
	}
	l := none
	if err := json.Unmarshal(data, &l); err != nil {
		return none, fmt.Errorf("read your log-in: %s is damaged (%w); log in again", path, err)
	}
	return l, nil
}

// save writes the file as a whole or not at all, for the user's eyes only.
func (l login) save(dir string) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("keep your log-in: %w", err)
		}
	}()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	data, err := json.Marshal(l)
	if err != nil {
		return err
	}
	file, err := os.CreateTemp(dir, ".login-*") // with mode 0600
	if err != nil {
		return err
	}
	_, writeErr := file.Write(append(data, '\n'))
	err = errors.Join(writeErr, file.Close())
	if err == nil {
		err = os.Rename(file.Name(), loginPath(dir, l.Server))
	}
	if err != nil {
		return errors.Join(err, os.Remove(file.Name()))
	}
	return nil
}

func (l login) forget(dir string) error {
	if err := os.Remove(loginPath(dir, l.Server)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("forget your log-in: %w", err)
	}
	return nil
}
