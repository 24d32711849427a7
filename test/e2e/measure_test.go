//go:build e2e

package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chatcluster/chatcluster/test/chatdtest"
	corev1 "k8s.io/api/core/v1"
)

const (
	measuredSockets  = 3000
	measuredSessions = 30
)

// TestMeasureSockets measures a rolling update of three gateways that have 3,000
// sockets, and how the sockets lie after a fourth is added. It fails only for a
// message that a socket misses, or gets twice or out of order.
//
// E2E_KEEP keeps the cluster; the other steps of the end-to-end test are not
// needed before.
func TestMeasureSockets(t *testing.T) {
	s := &suite{whole: t, place: newPlace(t)}
	s.server = &chatdtest.Server{API: s.place.host + ":" + apiPort, Gateway: s.place.host + ":" + gatewayPort}
	s.version = s.place.images(t)
	began := time.Now()
	s.install(t)
	t.Logf("three charts from nothing, with the pods of both backends: %s", time.Since(began).Round(time.Second))
	s.patch(t, `{"spec":{"gateway":{"replicas":3}}}`)
	podsOf(t, "gateway", 3)

	c := newCrowd(t, s.server, measuredSockets, measuredSessions)
	defer c.leave()
	t.Logf("sockets for each gateway: %v", s.sockets(t))

	before := uids(t, "gateway")
	began = time.Now()
	s.patch(t, `{"spec":{"gateway":{"maxSockets":19999}}}`)
	eventually(t, patience, "the update is seen", func(ctx context.Context) error {
		after, err := pods(ctx, "gateway")
		if err == nil && !slices.ContainsFunc(after, func(p corev1.Pod) bool { return !before[string(p.UID)] }) {
			err = errors.New("all pods are old")
		}
		return err
	})
	s.rolled(t, before)
	t.Logf("rolling update of 3 gateways with %d sockets: %s, %d reconnects", measuredSockets, time.Since(began).Round(time.Second), c.reconnects.Load())
	c.check(t)
	t.Logf("sockets for each gateway: %v", s.sockets(t))

	began = time.Now()
	run(t, "kubectl", "-n", namespace, "scale", "chatcluster/"+cluster, "--replicas=4")
	podsOf(t, "gateway", 4)
	for time.Since(began) < 12*time.Minute {
		lie := s.sockets(t)
		t.Logf("%s after the scale-up: sockets for each gateway: %v, the fullest has %.2f of the mean", time.Since(began).Round(time.Second), lie, fullest(lie))
		if len(lie) == 4 && fullest(lie) <= 1.12 {
			break
		}
		time.Sleep(30 * time.Second)
	}
	c.check(t)
}

// sockets are those of each gateway, as its metrics tell.
func (s *suite) sockets(t *testing.T) []int {
	t.Helper()
	list, err := pods(t.Context(), "gateway")
	if err != nil {
		t.Fatal(err)
	}
	var counts []int
	for _, p := range list {
		if p.DeletionTimestamp != nil {
			continue
		}
		text, err := try(t.Context(), "", "kubectl", "get", "--raw", fmt.Sprintf("/api/v1/namespaces/%s/pods/%s:9464/proxy/metrics", namespace, p.Name))
		if err != nil {
			t.Fatal(err)
		}
		sum := 0.0
		for line := range strings.Lines(text) {
			if value, ok := strings.CutPrefix(line, `chat_gateway_connections{`); ok {
				n, err := strconv.ParseFloat(strings.TrimSpace(value[strings.IndexByte(value, '}')+1:]), 64)
				if err != nil {
					t.Fatal(err)
				}
				sum += n
			}
		}
		counts = append(counts, int(sum))
	}
	return counts
}

func fullest(counts []int) float64 {
	sum := 0
	for _, n := range counts {
		sum += n
	}
	return float64(slices.Max(counts)) * float64(len(counts)) / float64(max(sum, 1))
}
