package api

// OpenAPI is the embedded document.
var OpenAPI = openAPI

// Routes says of each call, "METHOD /path/", whether it needs no token.
func Routes() map[string]bool {
	routes := map[string]bool{}
	for _, rt := range (&API{}).routes() {
		for _, path := range rt.paths {
			routes[rt.method+" "+path+"/"] = rt.audience == anyone
		}
	}
	return routes
}

// DecodeBody is the texts of the fields of a body that can be read.
func DecodeBody(contentType string, body []byte) (map[string]string, error) {
	return texts(decodeBody(contentType, body))
}

// DecodeQuery is DecodeBody for the query of a URL.
func DecodeQuery(query string) (map[string]string, error) { return texts(decodeForm(query)) }

func texts(f *fields, err error) (map[string]string, error) {
	if err != nil {
		return nil, err
	}
	read := map[string]string{}
	for name := range f.values {
		if text := f.text(name); text != nil {
			read[name] = *text
		}
		f.flag(name)
		f.integer(name, 0, 10)
	}
	return read, nil
}
