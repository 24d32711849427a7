package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/chatcluster/chatcluster/internal/config"
	"github.com/chatcluster/chatcluster/internal/control"
	"github.com/chatcluster/chatcluster/internal/lifecycle"
	loglocal "github.com/chatcluster/chatcluster/internal/log/local"
	"github.com/chatcluster/chatcluster/internal/readiness"
)

// runStandalone runs the whole server in this process until ctx ends.
func runStandalone(ctx context.Context, c config.Config, s streams) error {
	e, err := openEmbedded(c, newLogger(c, s.err))
	if errors.Is(err, loglocal.ErrLocked) {
		return fmt.Errorf("another chatd runs on %s: %w", c.DataDir, err)
	}
	if err != nil {
		return err
	}
	l, err := listen(c)
	if err != nil {
		return errors.Join(err, e.close())
	}
	return stopWithin(ctx, c.StopWithin(), func() error {
		err := lifecycle.Run(ctx, e.stages(l, func() { e.greet(l, c.DataDir, s.out) })...)
		return errors.Join(err, e.close())
	})
}

// stages are the parts of the server in the order in which they stop: what is
// in the log when the sockets have gone is still archived.
func (e *embedded) stages(l listeners, ready func()) [][]lifecycle.Part {
	f := e.newFrontends("standalone", func() []readiness.Check { return nil })
	stages := f.stages(ready,
		e.serve("api", l.api, f.front()),
		e.serve("gateway address", l.gateway, f.delivery()),
		lifecycle.Part{Name: "control", Run: func(ctx context.Context) error { return control.Serve(ctx, e.config.DataDir, e) }},
	)
	foundation := []lifecycle.Part{{Name: "archiver", Run: e.archiver.Run}, {Name: "upkeep", Run: e.upkeep}, {Name: "store", Run: e.watchDisk}}
	return append(stages, append(foundation, e.observe(l, f.inside())...))
}
