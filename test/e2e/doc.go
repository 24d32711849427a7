// Package e2e runs ChatCluster on a real Kubernetes, as its users do: by images,
// charts, kubectl and clients that come from outside. The run itself has the
// build tag e2e: it takes a machine for a good while.
package e2e
