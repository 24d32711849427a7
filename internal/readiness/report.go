package readiness

import (
	"encoding/json"
	"net/http"
)

// Check is one condition.
type Check struct {
	Name string
	// Err is nil where the condition holds.
	Err error
	// Tolerated conditions do not have to hold: the process serves all the
	// same, but not everything.
	Tolerated bool
}

// Values of Report.Status and CheckReport.Status.
const (
	OK       = "ok"
	Degraded = "degraded"
	Fail     = "fail"
	Draining = "draining"
)

// Report is what a probe is told. Why something fails is not in it: addresses
// of backends are nothing for the world.
type Report struct {
	Status string        `json:"status"`
	Checks []CheckReport `json:"checks"`
}

// CheckReport is one condition of a Report.
type CheckReport struct {
	Name   string `json:"name"`
	Status string `json:"status"`
}

// Judge is the rule: a process that drains is not ready, nor is one where a
// condition fails that is not tolerated.
func Judge(draining bool, checks []Check) Report {
	serving := CheckReport{Name: "serving", Status: OK}
	if draining {
		serving.Status = Draining
	}
	r := Report{Status: serving.Status, Checks: []CheckReport{serving}}
	for _, c := range checks {
		status := OK
		switch {
		case c.Err != nil && c.Tolerated:
			status = Degraded
		case c.Err != nil:
			status = Fail
		}
		r.Checks = append(r.Checks, CheckReport{c.Name, status})
		if rank[status] > rank[r.Status] {
			r.Status = status
		}
	}
	return r
}

// rank orders the states: a report has the worst of its checks, and the end is
// the last word.
var rank = map[string]int{OK: 0, Degraded: 1, Fail: 2, Draining: 3}

// Ready reports whether the process should get work.
func (r Report) Ready() bool { return r.Status == OK || r.Status == Degraded }

// Handler answers a probe with the report: 200, or 503 if it is not ready.
func Handler(report func() Report) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		r := report()
		w.Header().Set("Content-Type", "application/json")
		if !r.Ready() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_ = json.NewEncoder(w).Encode(r) // a prober that has left needs no answer
	})
}
