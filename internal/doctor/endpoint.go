package doctor

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// Answer is how it went to ask an endpoint for one of its probes.
type Answer struct {
	Status int
	Body   []byte
	Err    error
}

// examineEndpoint asks for both probes; an empty base is none.
func examineEndpoint(ctx context.Context, name, base string) []Finding {
	if base == "" {
		return nil
	}
	// Probes are HTTP where sockets are ws and wss too.
	if rest, ok := strings.CutPrefix(base, "ws"); ok {
		base = "http" + rest
	}
	base = strings.TrimRight(base, "/")
	client := &http.Client{
		Timeout:       askTimeout,
		Transport:     &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	live := get(ctx, client, base+"/livez")
	ready := Answer{}
	if live.Err == nil {
		ready = get(ctx, client, base+"/readyz")
	}
	f := JudgeEndpoint(live, ready)
	f.Name = name + " " + base
	return []Finding{f}
}

func get(ctx context.Context, client *http.Client, url string) Answer {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return Answer{Err: err}
	}
	response, err := client.Do(request)
	if err != nil {
		return Answer{Err: err}
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 64<<10))
	return Answer{response.StatusCode, body, err}
}

// JudgeEndpoint judges the answers to /livez and /readyz; the finding has no
// name yet.
func JudgeEndpoint(live, ready Answer) Finding {
	const start = "start it, let this machine reach it, or correct its URL"
	switch {
	case live.Err != nil:
		return Finding{Level: Fail, Finding: oneLine(live.Err), Advice: start}
	case live.Status != http.StatusOK:
		return Finding{Level: Fail, Finding: fmt.Sprintf("/livez answers %d", live.Status), Advice: "see whether a chat server is behind that URL, and its log"}
	case ready.Err != nil:
		return Finding{Level: Fail, Finding: oneLine(ready.Err), Advice: start}
	case ready.Status != http.StatusOK:
		return Finding{Level: Fail, Finding: fmt.Sprintf("lives, but is not ready (%d)%s", ready.Status, failing(ready.Body)),
			Advice: "wait if it is starting or stopping; else its log says why"}
	case failing(ready.Body) != "":
		return Finding{Level: Warn, Finding: "lives and is ready, but without" + failing(ready.Body), Advice: "see what that check says, and the server's log"}
	}
	return Finding{Level: OK, Finding: "lives, and is ready"}
}

// failing are the checks that /readyz says do not hold, or empty.
func failing(body []byte) string {
	var state struct {
		Checks []struct{ Name, Status string }
	}
	// Whatever stands between answers in its own way.
	_ = json.Unmarshal(body, &state)
	var names []string
	for _, c := range state.Checks {
		if c.Status != "ok" {
			names = append(names, c.Name)
		}
	}
	if len(names) == 0 {
		return ""
	}
	return ": " + strings.Join(names, ", ")
}
