// Package v1alpha1 is the API of chatcluster.dev/v1alpha1: the kind ChatCluster.
//
// Its rules stand in the schema, as CEL where a field alone does not tell;
// there is no webhook. Durations are whole numbers of the unit that their name
// ends with, choices are enumerated strings.
//
// +kubebuilder:object:generate=true
// +groupName=chatcluster.dev
package v1alpha1
