package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// foreign are the fields whose types are Kubernetes' own. The descriptions
// inside them are more than half of the CRD, which then would not fit into the
// annotation of a client-side apply (262,144 bytes); they are those of a pod.
var foreign = []string{"affinity", "tolerations", "resources"}

// specSchema is the schema of the spec of the only version.
func specSchema(crd map[string]any) (map[string]any, error) {
	spec, _ := crd["spec"].(map[string]any)
	versions, _ := spec["versions"].([]any)
	if len(versions) != 1 {
		return nil, fmt.Errorf("the CRD has %d versions, not one", len(versions))
	}
	at := versions[0]
	for _, key := range []string{"schema", "openAPIV3Schema", "properties", "spec"} {
		m, ok := at.(map[string]any)
		if !ok {
			return nil, fmt.Errorf("the CRD has no %s", key)
		}
		at = m[key]
	}
	schema, ok := at.(map[string]any)
	if !ok {
		return nil, errors.New("the CRD has no schema of the spec")
	}
	return schema, nil
}

// dropForeignDescriptions drops what is written below the foreign fields of
// the schema, but not what is written at them.
func dropForeignDescriptions(schema map[string]any) {
	properties, _ := schema["properties"].(map[string]any)
	for name, property := range properties {
		p, ok := property.(map[string]any)
		if !ok {
			continue
		}
		if slices.Contains(foreign, name) {
			own, described := p["description"]
			walk(p, func(s map[string]any) { delete(s, "description") })
			if described {
				p["description"] = own
			}
			continue
		}
		dropForeignDescriptions(p)
	}
}

// walk calls f with the schema and every schema in it.
func walk(schema map[string]any, f func(map[string]any)) {
	f(schema)
	for _, key := range []string{"items", "additionalProperties"} {
		if s, ok := schema[key].(map[string]any); ok {
			walk(s, f)
		}
	}
	properties, _ := schema["properties"].(map[string]any)
	for _, property := range properties {
		if s, ok := property.(map[string]any); ok {
			walk(s, f)
		}
	}
}

// valuesSchema is the base with the schema of the ChatCluster as its property
// spec, as JSON Schema has it. An image is not required there, since the chart
// has one, and a field that is not in the schema is an error: the API server
// would drop it.
func valuesSchema(base []byte, spec map[string]any) ([]byte, error) {
	var schema map[string]any
	if err := json.Unmarshal(base, &schema); err != nil {
		return nil, err
	}
	properties, ok := schema["properties"].(map[string]any)
	if !ok {
		return nil, errors.New("the base has no properties")
	}
	spec, err := clone(spec)
	if err != nil {
		return nil, err
	}
	walk(spec, toJSONSchema)
	spec["required"] = []string{"kafka", "cassandra"}
	if image, ok := spec["properties"].(map[string]any)["image"].(map[string]any); ok {
		delete(image, "minLength")
	}
	properties["spec"] = spec
	data, err := json.MarshalIndent(schema, "", "  ")
	if err != nil {
		return nil, err
	}
	return append(data, '\n'), nil
}

// toJSONSchema makes a JSON schema of one of OpenAPI's.
func toJSONSchema(s map[string]any) {
	maps.DeleteFunc(s, func(key string, _ any) bool { return strings.HasPrefix(key, "x-kubernetes-") })
	// The formats int32 and int64 are OpenAPI's.
	delete(s, "format")
	if _, isObject := s["properties"]; isObject {
		s["additionalProperties"] = false
	}
}

func clone(schema map[string]any) (map[string]any, error) {
	data, err := json.Marshal(schema)
	if err != nil {
		return nil, err
	}
	var c map[string]any
	return c, json.Unmarshal(data, &c)
}
