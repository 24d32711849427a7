package api

import (
	"context"
	"net/http"
)

func (a *API) livez(context.Context, *request) (answer, error) {
	return reply(health{Status: "ok", Checks: []healthCheck{}})
}

type health struct {
	Status string        `json:"status"`
	Checks []healthCheck `json:"checks"`
}

type healthCheck struct {
	Name   string `json:"name"`
	Status string `json:"status"`
}

// readyz says what holds and what does not; why not is told to the log only,
// since addresses of the backends are nothing for the world.
func (a *API) readyz(ctx context.Context, _ *request) (answer, error) {
	state := health{Status: "ok", Checks: []healthCheck{}}
	add := func(name string, holds bool) {
		check := healthCheck{Name: name, Status: "ok"}
		if !holds {
			check.Status = "fail"
			if state.Status == "ok" {
				state.Status = "fail"
			}
		}
		state.Checks = append(state.Checks, check)
	}
	serving := healthCheck{Name: "serving", Status: "ok"}
	if a.draining.Load() {
		serving.Status, state.Status = "draining", "draining"
	}
	state.Checks = append(state.Checks, serving)
	for _, check := range a.options.Ready(ctx) {
		add(check.Name, check.Err == nil)
		if check.Err != nil {
			a.options.Logger.WarnContext(ctx, "not ready", "check", check.Name, "err", check.Err)
		}
	}
	if state.Status != "ok" {
		return answer{status: http.StatusServiceUnavailable, body: state}, nil
	}
	return reply(state)
}
