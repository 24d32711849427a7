package main

import (
	"encoding/json"
	"testing"

	"gopkg.in/yaml.v3"
)

func kindsOf(t *testing.T, of func(map[string]any) ([]kind, error), document string) []kind {
	t.Helper()
	var d map[string]any
	if err := yaml.Unmarshal([]byte(document), &d); err != nil {
		t.Fatal(err)
	}
	kinds, err := of(d)
	if err != nil {
		t.Fatal(err)
	}
	return kinds
}

func wantSchema(t *testing.T, k kind, file, schema string) {
	t.Helper()
	if got := k.fileName(); got != file {
		t.Errorf("got file %s, want %s", got, file)
	}
	got, err := json.Marshal(k.schema)
	if err != nil {
		t.Fatal(err)
	}
	var value any
	if err := yaml.Unmarshal([]byte(schema), &value); err != nil {
		t.Fatal(err)
	}
	want, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("%s:\ngot  %s\nwant %s", file, got, want)
	}
}

func TestKindsOfSwagger(t *testing.T) {
	kinds := kindsOf(t, kindsOfSwagger, `
definitions:
  other: {type: string}
  io.k8s.apimachinery.pkg.util.intstr.IntOrString: {type: string, format: int-or-string}
  port:
    description: a port
    properties:
      number: {"$ref": "#/definitions/io.k8s.apimachinery.pkg.util.intstr.IntOrString"}
      description: {type: string, format: byte}
      labels: {type: object, additionalProperties: {type: string}}
  thing:
    properties:
      ports: {type: array, items: {"$ref": "#/definitions/port"}}
      self: {"$ref": "#/definitions/thing"}
    x-kubernetes-group-version-kind: [{group: networking.k8s.io, version: v1, kind: Thing}]
  options:
    x-kubernetes-group-version-kind: [{group: a, version: v1, kind: O}, {group: b, version: v1, kind: O}]
`)
	if len(kinds) != 1 {
		t.Fatalf("got %d kinds, want 1", len(kinds))
	}
	wantSchema(t, kinds[0], "thing-networking-v1.json", `
$schema: http://json-schema.org/draft-07/schema#
allOf: [{"$ref": "#/definitions/thing"}]
required: [apiVersion, kind]
definitions:
  io.k8s.apimachinery.pkg.util.intstr.IntOrString: {type: [string, integer]}
  port:
    additionalProperties: false
    properties:
      number: {"$ref": "#/definitions/io.k8s.apimachinery.pkg.util.intstr.IntOrString"}
      description: {type: string}
      labels: {type: object, additionalProperties: {type: string}}
  thing:
    additionalProperties: false
    properties:
      ports: {type: array, items: {"$ref": "#/definitions/port"}}
      self: {"$ref": "#/definitions/thing"}
`)
}

func TestKindsOfCRD(t *testing.T) {
	kinds := kindsOf(t, kindsOfCRD, `
spec:
  group: chatcluster.dev
  names: {kind: ChatCluster}
  versions:
    - name: v1alpha1
      schema:
        openAPIV3Schema:
          type: object
          properties:
            metadata: {type: object}
            spec:
              type: object
              required: [image]
              properties:
                image: {type: string, default: none}
                cpu: {x-kubernetes-int-or-string: true, anyOf: [{type: integer}, {type: string}]}
                free: {type: object, properties: {a: {type: string}}, x-kubernetes-preserve-unknown-fields: true}
`)
	if len(kinds) != 1 {
		t.Fatalf("got %d kinds, want 1", len(kinds))
	}
	wantSchema(t, kinds[0], "chatcluster-chatcluster-v1alpha1.json", `
type: object
additionalProperties: false
properties:
  metadata: {type: object}
  spec:
    type: object
    additionalProperties: false
    required: [image]
    properties:
      image: {type: string}
      cpu: {type: [string, integer]}
      free: {type: object, properties: {a: {type: string}}}
`)
}
