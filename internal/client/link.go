package client

import (
	"net/url"
	"strings"
)

// parseLinks reads Link headers (RFC 8288) into targets by relation. What is
// not well-formed ends its header: the links before it count.
func parseLinks(headers []string) map[string]*url.URL {
	links := map[string]*url.URL{}
	for _, header := range headers {
		for rest := header; ; {
			var target, params string
			var ok bool
			target, params, rest, ok = cutLink(rest)
			if !ok {
				break
			}
			u, err := url.Parse(target)
			if err != nil {
				continue
			}
			for _, rel := range strings.Fields(relOf(params)) {
				links[strings.ToLower(rel)] = u
			}
		}
	}
	return links
}

// cutLink cuts the first `<target>; params` off a header.
func cutLink(s string) (target, params, rest string, ok bool) {
	s, ok = strings.CutPrefix(strings.TrimLeft(s, ", \t"), "<")
	if !ok {
		return "", "", "", false
	}
	target, s, ok = strings.Cut(s, ">")
	if !ok {
		return "", "", "", false
	}
	// A comma ends the link unless it stands in a quoted parameter.
	quoted := false
	end := strings.IndexFunc(s, func(r rune) bool {
		if r == '"' {
			quoted = !quoted
		}
		return r == ',' && !quoted
	})
	if end < 0 {
		return target, s, "", true
	}
	return target, s[:end], s[end:], true
}

// relOf is the value of the first rel parameter, as the RFC has it.
func relOf(params string) string {
	for param := range strings.SplitSeq(params, ";") {
		name, value, _ := strings.Cut(param, "=")
		if strings.EqualFold(strings.TrimSpace(name), "rel") {
			return strings.Trim(strings.TrimSpace(value), `"`)
		}
	}
	return ""
}
