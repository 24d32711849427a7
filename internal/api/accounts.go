package api

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"github.com/chatcluster/chatcluster/internal/chat"
)

type registered struct {
	Email    string `json:"email"`
	Username string `json:"username"`
	ID       int64  `json:"id"`
}

func (a *API) register(ctx context.Context, req *request) (answer, error) {
	in := req.body
	n := chat.NewUser{
		Username:  in.textOr("username", ""),
		Password:  in.textOr("password", ""),
		Email:     in.textOr("email", ""),
		FirstName: in.textOr("first_name", ""),
		LastName:  in.textOr("last_name", ""),
	}
	if err := in.err(); err != nil {
		return answer{}, err
	}
	u, err := a.accounts.Register(ctx, n)
	if err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusCreated, body: registered{u.Email, u.Username, u.ID}}, nil
}

type loggedIn struct {
	AuthToken string `json:"auth_token"`
}

func (a *API) login(ctx context.Context, req *request) (answer, error) {
	username, password := req.body.textOr("username", ""), req.body.textOr("password", "")
	if err := req.body.err(); err != nil {
		return answer{}, err
	}
	token, _, err := a.accounts.Login(ctx, username, password, a.options.ClientAddr(req.http))
	if err != nil {
		return answer{}, err
	}
	return reply(loggedIn{token})
}

func (a *API) logout(ctx context.Context, req *request) (answer, error) {
	if err := a.accounts.Logout(ctx, req.caller); err != nil {
		return answer{}, err
	}
	return noContent()
}

func (a *API) setPassword(ctx context.Context, req *request) (answer, error) {
	current, replacement := req.body.textOr("current_password", ""), req.body.textOr("new_password", "")
	if err := req.body.err(); err != nil {
		return answer{}, err
	}
	if err := a.accounts.ChangePassword(ctx, req.caller, current, replacement); err != nil {
		return answer{}, err
	}
	return noContent()
}

func (a *API) me(_ context.Context, req *request) (answer, error) {
	return reply(viewAccount(req.caller.User))
}

func (a *API) updateMe(ctx context.Context, req *request) (answer, error) {
	return a.changeUser(ctx, req, req.caller.User.ID, chat.UserChange{})
}

// changeUser adds the fields that users may change themselves to the change.
func (a *API) changeUser(ctx context.Context, req *request, id int64, change chat.UserChange) (answer, error) {
	change.Email = req.body.text("email")
	change.FirstName = req.body.text("first_name")
	change.LastName = req.body.text("last_name")
	if err := req.body.err(); err != nil {
		return answer{}, err
	}
	u, err := a.accounts.Update(ctx, req.caller.User, id, change)
	if err != nil {
		return answer{}, err
	}
	return reply(viewAccount(u))
}

func (a *API) updateUser(ctx context.Context, req *request) (answer, error) {
	ref, err := req.variable("id")
	if err != nil {
		return answer{}, err
	}
	id, err := strconv.ParseInt(ref, 10, 64)
	if err != nil {
		return answer{}, chat.ErrNotFound
	}
	return a.changeUser(ctx, req, id, chat.UserChange{
		IsStaff:  req.body.flag("is_staff"),
		IsActive: req.body.flag("is_active"),
	})
}

type accountList struct {
	Status string    `json:"status"`
	Users  []account `json:"users"`
}

func (a *API) listUsers(ctx context.Context, req *request) (answer, error) {
	limit := req.limit()
	var after int64
	if id := req.query.integer("after", 0, maxID); id != nil {
		after = *id
	}
	if err := req.query.err(); err != nil {
		return answer{}, err
	}
	// One more than asked for tells whether there are others.
	found, err := a.accounts.List(ctx, req.caller.User, after, limit+1)
	if err != nil {
		return answer{}, err
	}
	more := len(found) > limit
	found = found[:min(limit, len(found))]
	list := accountList{Status: success, Users: make([]account, len(found))}
	for i, u := range found {
		list.Users[i] = viewAccount(u)
	}
	ans := answer{status: http.StatusOK, body: list}
	if more {
		last := strconv.FormatInt(found[limit-1].ID, 10)
		ans.header = linkHeader(req.link("next", limit, url.Values{"after": {last}}))
	}
	return ans, nil
}
