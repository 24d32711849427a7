package main

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
)

const definitionsPrefix = "#/definitions/"

// loose are definitions that OpenAPI says less of than Kubernetes takes.
var loose = map[string]map[string]any{
	"io.k8s.apimachinery.pkg.util.intstr.IntOrString": {"type": []string{"string", "integer"}},
	"io.k8s.apimachinery.pkg.api.resource.Quantity":   {"type": []string{"string", "number"}},
}

// kindsOfSwagger are all kinds of an OpenAPI document of Kubernetes. Each schema
// has the definitions that it refers to in itself.
func kindsOfSwagger(document map[string]any) ([]kind, error) {
	definitions, ok := document["definitions"].(map[string]any)
	if !ok {
		return nil, errors.New("there are no definitions")
	}
	strict := map[string]any{}
	for name, definition := range definitions {
		if l, ok := loose[name]; ok {
			strict[name] = l
			continue
		}
		strict[name] = strictly(definition)
	}
	var kinds []kind
	for _, name := range slices.Sorted(maps.Keys(definitions)) {
		definition, _ := definitions[name].(map[string]any)
		gvks, _ := definition["x-kubernetes-group-version-kind"].([]any)
		if len(gvks) != 1 {
			continue // none, or what stands for all kinds, such as DeleteOptions
		}
		gvk, _ := gvks[0].(map[string]any)
		k := kind{schema: map[string]any{
			"$schema":     "http://json-schema.org/draft-07/schema#",
			"allOf":       []any{map[string]any{"$ref": definitionsPrefix + name}},
			"required":    []string{"apiVersion", "kind"},
			"definitions": reachable(strict, name),
		}}
		k.group, _ = gvk["group"].(string)
		k.version, _ = gvk["version"].(string)
		k.name, _ = gvk["kind"].(string)
		kinds = append(kinds, k)
	}
	if len(kinds) == 0 {
		return nil, errors.New("there are no kinds")
	}
	return kinds, nil
}

// reachable are the definitions that the named one refers to, and it.
func reachable(definitions map[string]any, name string) map[string]any {
	found := map[string]any{}
	for next := []string{name}; len(next) > 0; {
		name, next = next[len(next)-1], next[:len(next)-1]
		if _, ok := found[name]; ok {
			continue
		}
		found[name] = definitions[name]
		each(definitions[name], func(object map[string]any) {
			if ref, ok := object["$ref"].(string); ok {
				next = append(next, strings.TrimPrefix(ref, definitionsPrefix))
			}
		})
	}
	return found
}

// each calls f with every object in the value.
func each(value any, f func(map[string]any)) {
	switch v := value.(type) {
	case map[string]any:
		f(v)
		for _, inner := range v {
			each(inner, f)
		}
	case []any:
		for _, inner := range v {
			each(inner, f)
		}
	}
}

// strictly is a copy of the schema in which an object has no other fields than
// its properties. It leaves out what checks nothing.
func strictly(schema any) any {
	s, ok := schema.(map[string]any)
	if !ok {
		return schema
	}
	strict := map[string]any{}
	for key, value := range s {
		switch {
		case key == "description" || key == "format" || key == "default" || strings.HasPrefix(key, "x-kubernetes-"):
		case key == "properties":
			properties := map[string]any{}
			for name, property := range value.(map[string]any) {
				properties[name] = strictly(property)
			}
			strict[key] = properties
		case key == "items" || key == "additionalProperties":
			strict[key] = strictly(value)
		default:
			strict[key] = value
		}
	}
	if s["x-kubernetes-int-or-string"] == true {
		return map[string]any{"type": []string{"string", "integer"}}
	}
	if _, has := s["properties"]; has {
		if _, open := s["additionalProperties"]; !open && s["x-kubernetes-preserve-unknown-fields"] != true {
			strict["additionalProperties"] = false
		}
	}
	return strict
}

// kindsOfCRD is the kind of a CRD in each of its versions. Its rules in CEL are
// not checked.
func kindsOfCRD(document map[string]any) ([]kind, error) {
	var crd struct {
		Spec struct {
			Group    string
			Names    struct{ Kind string }
			Versions []struct {
				Name   string
				Schema struct {
					OpenAPIV3Schema map[string]any `json:"openAPIV3Schema"`
				}
			}
		}
	}
	data, err := json.Marshal(document)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(data, &crd); err != nil {
		return nil, err
	}
	var kinds []kind
	for _, version := range crd.Spec.Versions {
		schema, _ := strictly(version.Schema.OpenAPIV3Schema).(map[string]any)
		if properties, ok := schema["properties"].(map[string]any); ok {
			// The API server checks it, whatever the CRD says.
			properties["metadata"] = map[string]any{"type": "object"}
		}
		kinds = append(kinds, kind{group: crd.Spec.Group, version: version.Name, name: crd.Spec.Names.Kind, schema: schema})
	}
	return kinds, nil
}
