package api

import (
	"context"
	"net/http"

	"github.com/chatcluster/chatcluster/internal/readiness"
)

func (a *API) livez(context.Context, *request) (answer, error) {
	return reply(readiness.Report{Status: readiness.OK, Checks: []readiness.CheckReport{}})
}

// readyz says what holds and what does not; why not is told to the log only.
func (a *API) readyz(ctx context.Context, _ *request) (answer, error) {
	checks := a.options.Ready(ctx)
	for _, check := range checks {
		if check.Err != nil {
			a.options.Logger.WarnContext(ctx, "not ready", "check", check.Name, "tolerated", check.Tolerated, "err", check.Err)
		}
	}
	report := readiness.Judge(a.Draining(), checks)
	if !report.Ready() {
		return answer{status: http.StatusServiceUnavailable, body: report}, nil
	}
	return reply(report)
}
