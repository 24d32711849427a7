package gateway

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
)

// keepLease renews the gateway's lease, and ends what gateways that died have
// left behind, until ctx ends.
func (g *Gateway) keepLease(ctx context.Context) {
	// An earlier process of the same name has left rows behind if it died.
	own := g.sweep(ctx, g.options.ID)
	ticker := time.NewTicker(g.options.LeaseTTL / 3)
	defer ticker.Stop()
	var renewed time.Time
	for {
		if own != nil {
			own = g.sweep(ctx, g.options.ID)
		}
		now := g.options.Now()
		if err := g.renewLease(ctx, now); err != nil {
			if ctx.Err() == nil {
				g.options.Logger.Warn("lease not renewed", "error", err)
			}
		} else {
			if !renewed.IsZero() && now.Sub(renewed) > g.options.LeaseTTL {
				g.presence.renew()
			}
			renewed = now
			if err := g.sweepDead(ctx, now); err != nil && ctx.Err() == nil {
				g.options.Logger.Warn("dead gateways not swept", "error", err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (g *Gateway) renewLease(ctx context.Context, now time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, g.options.LeaseTTL/3)
	defer cancel()
	if err := g.store.PutLease(ctx, g.options.ID, now.Add(g.options.LeaseTTL)); err != nil {
		return fmt.Errorf("put lease: %w", err)
	}
	return nil
}

// sweepDead ends the leases that nobody renews, if that is this gateway's job.
func (g *Gateway) sweepDead(ctx context.Context, now time.Time) error {
	leases, err := g.store.Leases(ctx)
	if err != nil {
		return fmt.Errorf("list leases: %w", err)
	}
	for _, dead := range toSweep(leases, g.options.ID, now) {
		g.options.Logger.Info("gateway died", "gateway", dead)
		if err := g.sweep(ctx, dead); err != nil {
			return err
		}
		if err := g.store.DropLease(ctx, dead); err != nil {
			return fmt.Errorf("drop lease: %w", err)
		}
	}
	return nil
}

// toSweep decides whose leases this gateway has to end: all that are over, if
// of those whose leases are not it has the lowest id. So only one announces
// them, without a lock.
func toSweep(leases map[string]time.Time, self string, now time.Time) []string {
	var dead []string
	for id, until := range leases {
		switch {
		case id == self:
		case !until.After(now):
			dead = append(dead, id)
		case id < self:
			return nil
		}
	}
	return dead
}

// sweep announces that those have left whom the gateway's rows call present.
// Each is announced before the row says so: one who sweeps and dies is followed
// by another, and a notice that comes twice does less harm than none.
func (g *Gateway) sweep(ctx context.Context, gateway string) error {
	rows, err := g.store.PresenceOfGateway(ctx, gateway)
	if err != nil {
		return fmt.Errorf("read presence of %s: %w", gateway, err)
	}
	for _, row := range rows {
		if row.Left || (gateway == g.options.ID && g.presence.present(row.RoomURI, row.User.ID)) {
			continue
		}
		ref, err := g.rooms.Lookup(ctx, row.RoomURI)
		switch {
		case err == nil:
			err = g.messages.Announce(ctx, ref.Room, chat.Event{Kind: chat.EventLeave, Sender: row.User, Room: row.RoomURI})
		case errors.Is(err, chat.ErrNotFound):
			err = nil // nobody is left to be told
		}
		if err != nil {
			return fmt.Errorf("announce leave: %w", err)
		}
		row.Left = true
		if err := g.store.PutPresence(ctx, []chat.PresenceRow{row}); err != nil {
			return fmt.Errorf("write presence: %w", err)
		}
	}
	return nil
}
