// Manifests writes the files that Kubernetes is told of ChatCluster by, into
// config/ and charts/, from what controller-gen prints, and from the
// operator's dashboard:
//
//	controller-gen crd paths=./operator/api/... output:crd:stdout | manifests crd
//	controller-gen rbac:roleName=chat-operator paths=./operator/... output:rbac:stdout | manifests rbac
//	manifests dashboard < operator/internal/resources/dashboard.json
//
// It is run by make generate, in the root of the repository.
package main
