// Package controller makes the cluster be as its ChatClusters say: it observes,
// has package decide decide, applies what package resources renders, and reports in
// the status.
//
// Children are written by server-side apply with one field owner, so that what
// others set (kubectl rollout restart, a mesh's injector) stays. Of a ChatCluster
// only the status is written.
package controller
