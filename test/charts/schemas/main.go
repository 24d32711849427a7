// Schemas makes JSON schemas, one for each kind, for kubeconform:
//
//	schemas SWAGGER.json DIR    of Kubernetes' own kinds, from its OpenAPI document
//	schemas CRD.yaml DIR        of the kind of a CRD
//
// They are strict: a field that is not in the schema is an error, as it would be
// for kubectl apply.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"gopkg.in/yaml.v3"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "schemas:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 2 {
		return errors.New("usage: schemas SWAGGER.json|CRD.yaml DIR")
	}
	data, err := os.ReadFile(args[0])
	if err != nil {
		return err
	}
	var document map[string]any
	if err := yaml.Unmarshal(data, &document); err != nil { // JSON too
		return fmt.Errorf("read %s: %w", args[0], err)
	}
	var kinds []kind
	if document["kind"] == "CustomResourceDefinition" {
		kinds, err = kindsOfCRD(document)
	} else {
		kinds, err = kindsOfSwagger(document)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", args[0], err)
	}
	if err := os.MkdirAll(args[1], 0o755); err != nil {
		return err
	}
	for _, k := range kinds {
		data, err := json.Marshal(k.schema)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(args[1], k.fileName()), data, 0o644); err != nil {
			return err
		}
	}
	fmt.Printf("%d schemas in %s\n", len(kinds), args[1])
	return nil
}

// kind is a kind and its schema.
type kind struct {
	group, version, name string
	schema               map[string]any
}

// fileName is {{.ResourceKind}}{{.KindSuffix}}.json, as kubeconform has it: of
// the group it takes the first word only.
func (k kind) fileName() string {
	name := k.name
	if k.group != "" {
		group, _, _ := strings.Cut(k.group, ".")
		name += "-" + group
	}
	return strings.ToLower(name + "-" + k.version + ".json")
}
