//go:build charts

package charts_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// object is a manifest.
type object map[string]any

// at is the value at a path of keys; nil if there is none.
func (o object) at(keys ...string) any {
	var value any = map[string]any(o)
	for _, key := range keys {
		m, _ := value.(map[string]any)
		value = m[key]
	}
	return value
}

func (o object) String() string {
	return fmt.Sprintf("%v %v/%v", o["kind"], o.at("metadata", "namespace"), o.at("metadata", "name"))
}

// template renders a chart as the release chat in the namespace ours.
func template(t *testing.T, chart string, args ...string) ([]object, error) {
	t.Helper()
	helm := os.Getenv("HELM")
	if helm == "" {
		t.Fatal("these tests need helm; run: make charts")
	}
	args = append([]string{"template", "chat", "../../charts/" + chart, "--namespace", "ours", "--kube-version", "1.34.0"}, args...)
	cmd := exec.Command(helm, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, stderr.String())
	}
	return decode(t, out), nil
}

func decode(t *testing.T, data []byte) []object {
	t.Helper()
	var objects []object
	for decoder := yaml.NewDecoder(bytes.NewReader(data)); ; {
		var o map[string]any // and so all maps in it
		err := decoder.Decode(&o)
		if errors.Is(err, io.EOF) {
			return objects
		}
		if err != nil {
			t.Fatal(err)
		}
		if o != nil {
			objects = append(objects, o)
		}
	}
}

func render(t *testing.T, chart string, args ...string) []object {
	t.Helper()
	objects, err := template(t, chart, args...)
	if err != nil {
		t.Fatal(err)
	}
	return objects
}

// only is the only object of a kind.
func only(t *testing.T, objects []object, kind string) object {
	t.Helper()
	found := ofKind(objects, kind)
	if len(found) != 1 {
		t.Fatalf("got %d objects of the kind %s, want 1", len(found), kind)
	}
	return found[0]
}

func ofKind(objects []object, kind string) []object {
	var found []object
	for _, o := range objects {
		if o["kind"] == kind {
			found = append(found, o)
		}
	}
	return found
}

// wantRefusal wants a chart to be refused with words.
func wantRefusal(t *testing.T, words, chart string, args ...string) {
	t.Helper()
	if _, err := template(t, chart, args...); err == nil || !strings.Contains(err.Error(), words) {
		t.Errorf("got %v, want a refusal with %q", err, words)
	}
}
