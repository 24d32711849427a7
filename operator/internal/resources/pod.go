package resources

import (
	"encoding/json"
	"fmt"
	"maps"
	"strconv"

	"github.com/chatcluster/chatcluster/operator/api/v1alpha1"
	kcore "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	corev1 "k8s.io/client-go/applyconfigurations/core/v1"
	metav1 "k8s.io/client-go/applyconfigurations/meta/v1"
)

// nonRoot is the user and the group of the image's process.
const nonRoot = 65532

// labelMetrics marks the pods that have metrics, for the metrics Service: a
// Service's selector cannot name several parts.
const labelMetrics = "chatcluster.dev/metrics"

// podOf is what the user changes of a part's pods. The migration runs as the
// archiver does, which reaches the same backends.
func podOf(in Inputs, part Part) v1alpha1.Pod {
	s := in.Cluster.Spec
	switch part {
	case PartAPI:
		return s.API.Pod
	case PartGateway:
		return s.Gateway.Pod
	case PartCleaner:
		return s.Retention.Cleaner.Pod
	default:
		return s.Archiver.Pod
	}
}

// podTemplate is the pod of a part. Nothing in it may depend on the number of
// pods: scaling would replace them.
func podTemplate(in Inputs, part Part) (*corev1.PodTemplateSpecApplyConfiguration, error) {
	content, err := Config(in)
	if err != nil {
		return nil, err
	}
	overrides := podOf(in, part)
	c, err := container(in, part, overrides)
	if err != nil {
		return nil, err
	}
	spec := corev1.PodSpec().
		WithServiceAccountName(in.Cluster.Name).
		WithAutomountServiceAccountToken(false).
		// The variables of Services would grow with the namespace, and some would begin
		// with CHATD_.
		WithEnableServiceLinks(false).
		WithSecurityContext(corev1.PodSecurityContext().
			WithRunAsNonRoot(true).WithRunAsUser(nonRoot).WithRunAsGroup(nonRoot).WithFSGroup(nonRoot).
			WithSeccompProfile(corev1.SeccompProfile().WithType(kcore.SeccompProfileTypeRuntimeDefault))).
		WithTerminationGracePeriodSeconds(int64(gracePeriod(in, part).Seconds())).
		WithVolumes(corev1.Volume().WithName("config").WithConfigMap(corev1.ConfigMapVolumeSource().WithName(configMapName(in, content))))
	if secrets := secretsVolume(in); secrets != nil {
		spec.WithVolumes(secrets)
		c.WithVolumeMounts(corev1.VolumeMount().WithName("secrets").WithMountPath(secretsDir).WithReadOnly(true))
	}
	spec.WithContainers(c)
	for _, name := range in.Cluster.Spec.ImagePullSecrets {
		spec.WithImagePullSecrets(corev1.LocalObjectReference().WithName(name))
	}
	if isDeployment(part) {
		spec.WithTopologySpreadConstraints(topologySpread(in, part, overrides.TopologySpread)...)
	} else {
		spec.WithRestartPolicy(kcore.RestartPolicyNever)
	}
	if err := schedule(spec, overrides); err != nil {
		return nil, err
	}

	podLabels := maps.Clone(overrides.Labels)
	if podLabels == nil {
		podLabels = map[string]string{}
	}
	maps.Copy(podLabels, labels(in.Cluster.Name, part))
	if isDeployment(part) {
		podLabels[labelMetrics] = "true"
	}
	template := corev1.PodTemplateSpec().WithLabels(podLabels).WithAnnotations(overrides.Annotations).WithSpec(spec)
	if in.SecretsHash != "" {
		template.WithAnnotations(map[string]string{AnnotationSecrets: in.SecretsHash})
	}
	return template, nil
}

func isDeployment(part Part) bool { return part == PartArchiver || hasSockets(part) }

func container(in Inputs, part Part, overrides v1alpha1.Pod) (*corev1.ContainerApplyConfiguration, error) {
	c := corev1.Container().WithName("chatd").
		WithImage(in.Cluster.Spec.Image).
		WithArgs(args(in, part)...).
		WithEnv(usernames(in)...).
		WithSecurityContext(corev1.SecurityContext().
			WithAllowPrivilegeEscalation(false).WithReadOnlyRootFilesystem(true).
			WithCapabilities(corev1.Capabilities().WithDrop("ALL"))).
		WithTerminationMessagePolicy(kcore.TerminationMessageFallbackToLogsOnError).
		WithVolumeMounts(corev1.VolumeMount().WithName("config").WithMountPath(configDir).WithReadOnly(true))
	if policy := in.Cluster.Spec.ImagePullPolicy; policy != "" {
		c.WithImagePullPolicy(kcore.PullPolicy(policy))
	}
	if limit, ok := overrides.Resources.Limits[kcore.ResourceMemory]; ok {
		// Less than the limit, because the kernel counts more than Go does.
		c.WithEnv(corev1.EnvVar().WithName("GOMEMLIMIT").WithValue(strconv.FormatInt(limit.Value()/10*9, 10)))
	}
	if r := overrides.Resources; len(r.Limits)+len(r.Requests)+len(r.Claims) > 0 {
		resources, err := applyConfiguration[corev1.ResourceRequirementsApplyConfiguration](r)
		if err != nil {
			return nil, err
		}
		c.WithResources(resources)
	}
	switch part {
	case PartAPI:
		probe(c.WithPorts(port("http", PortAPI)), "http")
	case PartGateway:
		probe(c.WithPorts(port("http", PortGateway)), "http")
	case PartArchiver:
		probe(c, "metrics")
	}
	if isDeployment(part) {
		c.WithPorts(port("metrics", PortMetrics))
	}
	return c, nil
}

func port(name string, number int32) *corev1.ContainerPortApplyConfiguration {
	return corev1.ContainerPort().WithName(name).WithContainerPort(number).WithProtocol(kcore.ProtocolTCP)
}

// probe adds the probes. /livez asks no backend: to restart a process does not
// bring one back.
func probe(c *corev1.ContainerApplyConfiguration, port string) {
	get := func(path string) *corev1.ProbeApplyConfiguration {
		return corev1.Probe().WithHTTPGet(corev1.HTTPGetAction().WithPath(path).WithPort(intstr.FromString(port)))
	}
	// A minute: chatd answers at once, also while it waits for its backends, but an
	// image on a crowded node may take its time to begin.
	c.WithStartupProbe(get("/livez").WithPeriodSeconds(2).WithTimeoutSeconds(2).WithFailureThreshold(30))
	c.WithLivenessProbe(get("/livez").WithPeriodSeconds(10).WithTimeoutSeconds(5).WithFailureThreshold(3))
	c.WithReadinessProbe(get("/readyz").WithPeriodSeconds(5).WithTimeoutSeconds(3).WithFailureThreshold(2))
}

// schedule says where the pods may run.
func schedule(spec *corev1.PodSpecApplyConfiguration, overrides v1alpha1.Pod) error {
	spec.WithNodeSelector(overrides.NodeSelector)
	if overrides.PriorityClassName != "" {
		spec.WithPriorityClassName(overrides.PriorityClassName)
	}
	for _, t := range overrides.Tolerations {
		toleration, err := applyConfiguration[corev1.TolerationApplyConfiguration](t)
		if err != nil {
			return err
		}
		spec.WithTolerations(toleration)
	}
	if overrides.Affinity != nil {
		affinity, err := applyConfiguration[corev1.AffinityApplyConfiguration](overrides.Affinity)
		if err != nil {
			return err
		}
		spec.WithAffinity(affinity)
	}
	return nil
}

// topologySpread spreads the pods of one revision over hosts and over zones.
// Those of the revision before do not count: they are about to go.
func topologySpread(in Inputs, part Part, mode string) []*corev1.TopologySpreadConstraintApplyConfiguration {
	hosts, zones := kcore.ScheduleAnyway, kcore.ScheduleAnyway
	switch mode {
	case "None":
		return nil
	case "Required":
		// A node without the label of a zone would get no pod at all.
		hosts = kcore.DoNotSchedule
	case "RequiredZones":
		hosts, zones = kcore.DoNotSchedule, kcore.DoNotSchedule
	}
	constraint := func(key string, otherwise kcore.UnsatisfiableConstraintAction) *corev1.TopologySpreadConstraintApplyConfiguration {
		return corev1.TopologySpreadConstraint().
			WithMaxSkew(1).WithTopologyKey(key).WithWhenUnsatisfiable(otherwise).
			WithLabelSelector(metav1.LabelSelector().WithMatchLabels(Selector(in.Cluster.Name, part))).
			WithMatchLabelKeys("pod-template-hash")
	}
	return []*corev1.TopologySpreadConstraintApplyConfiguration{
		constraint(kcore.LabelHostname, hosts), constraint(kcore.LabelTopologyZone, zones),
	}
}

// applyConfiguration turns what the user typed into the form in which it is
// applied: the JSON is the same.
func applyConfiguration[T any](typed any) (*T, error) {
	content, err := json.Marshal(typed)
	if err != nil {
		return nil, fmt.Errorf("encode pod override: %w", err)
	}
	target := new(T)
	if err := json.Unmarshal(content, target); err != nil {
		return nil, fmt.Errorf("decode pod override: %w", err)
	}
	return target, nil
}
