package pods

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// ErrShedding is the error of a gateway that still sheds what it was asked for
// before.
var ErrShedding = errors.New("the gateway sheds sockets already")

// Shed asks a gateway to send up to n sockets away, evenly over the window, and
// gives how many will go. It does not wait for them.
func (r *Reader) Shed(ctx context.Context, addr string, n int, window time.Duration) (int, error) {
	var shed struct {
		Sockets int `json:"sockets"`
	}
	query := url.Values{"sockets": {strconv.Itoa(n)}, "window": {window.String()}}
	err := r.ask(ctx, http.MethodPost, addr, "/admin/shed", query, func(answer *http.Response) error {
		switch answer.StatusCode {
		case http.StatusAccepted:
			return json.NewDecoder(io.LimitReader(answer.Body, maxText)).Decode(&shed)
		case http.StatusConflict:
			return ErrShedding
		default:
			return unexpected(answer)
		}
	})
	if err != nil {
		return 0, fmt.Errorf("shed %d sockets: %w", n, err)
	}
	return shed.Sockets, nil
}
