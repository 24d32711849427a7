package api

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// maxLimit is the largest page, and the page of those who do not say.
const maxLimit = 1000

// limit is the page size that the query asks for.
func (q *request) limit() int {
	if limit := q.query.integer("limit", 1, maxLimit); limit != nil {
		return int(*limit)
	}
	return maxLimit
}

// link is one value of a Link header (RFC 8288). It is relative, so that it
// holds whatever name and scheme a proxy gives this server.
func (q *request) link(rel string, limit int, query url.Values) string {
	query.Set("limit", strconv.Itoa(limit))
	return fmt.Sprintf("<%s?%s>; rel=%q", q.http.URL.EscapedPath(), query.Encode(), rel)
}

func linkHeader(links ...string) http.Header {
	if len(links) == 0 {
		return nil
	}
	return http.Header{"Link": {strings.Join(links, ", ")}}
}
