package controller

import (
	"github.com/chatcluster/chatcluster/operator/api/v1alpha1"
	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Metrics tell of ChatClusters what no pod of theirs can.
type Metrics struct {
	condition          *prometheus.GaugeVec
	cleanedAt, cleaned *prometheus.GaugeVec
}

// NewMetrics registers the metrics.
func NewMetrics(r prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{
		condition: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "chatcluster_status_condition", Help: "1 for the status that a condition of a ChatCluster has, 0 for the others.",
		}, []string{"namespace", "name", "type", "status"}),
		cleanedAt: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "chatcluster_cleaner_last_success_timestamp_seconds", Help: "When the cleaner of a ChatCluster last succeeded; before it ever has, when the ChatCluster was created.",
		}, []string{"namespace", "name"}),
		cleaned: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "chatcluster_cleaner_deleted_messages", Help: "How many messages the cleaner deleted in its last success.",
		}, []string{"namespace", "name"}),
	}
	for _, c := range m.collectors() {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// Unregister takes the metrics from r.
func (m *Metrics) Unregister(r prometheus.Registerer) {
	for _, c := range m.collectors() {
		r.Unregister(c)
	}
}

func (m *Metrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{m.condition, m.cleanedAt, m.cleaned}
}

func (m *Metrics) observe(c *v1alpha1.ChatCluster) {
	for _, condition := range c.Status.Conditions {
		for _, status := range []metav1.ConditionStatus{metav1.ConditionTrue, metav1.ConditionFalse, metav1.ConditionUnknown} {
			value := 0.0
			if condition.Status == status {
				value = 1
			}
			m.condition.WithLabelValues(c.Namespace, c.Name, condition.Type, string(status)).Set(value)
		}
	}
	// An alert has to find a cleaner that has never succeeded, too.
	cleanedAt := c.CreationTimestamp
	if cleaner := c.Status.Cleaner; cleaner != nil && cleaner.LastSuccessAt != nil {
		cleanedAt = *cleaner.LastSuccessAt
		m.cleaned.WithLabelValues(c.Namespace, c.Name).Set(float64(cleaner.DeletedMessages))
	}
	m.cleanedAt.WithLabelValues(c.Namespace, c.Name).Set(float64(cleanedAt.Unix()))
}

func (m *Metrics) forget(name types.NamespacedName) {
	of := prometheus.Labels{"namespace": name.Namespace, "name": name.Name}
	m.condition.DeletePartialMatch(of)
	m.cleanedAt.DeletePartialMatch(of)
	m.cleaned.DeletePartialMatch(of)
}
