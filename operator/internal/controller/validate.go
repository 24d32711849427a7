package controller

import (
	"strings"

	"github.com/chatcluster/chatcluster/operator/internal/resources"
)

// invalid says what is wrong with a spec that the API server let through, as
// it does with objects that are older than a rule. The server's own check of its
// configuration is the second opinion: what it would refuse must not roll out.
func invalid(in resources.Inputs) string {
	if err := resources.Validate(in); err != nil {
		return strings.ReplaceAll(err.Error(), "\n", "; ")
	}
	return ""
}
