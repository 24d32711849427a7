package client

import (
	"context"
	"net/http"
	"net/url"
)

// User is a user as others see it.
type User struct {
	ID        int64  `json:"id"`
	Username  string `json:"username"`
	Email     string `json:"email"`
	FirstName string `json:"first_name"`
	LastName  string `json:"last_name"`
}

// Register makes an account; email may be empty. What is missing, taken or not
// valid is in an Error's Fields.
//
// It is tried once: a repeat after a lost answer would find the name taken.
func (c *Client) Register(ctx context.Context, username, password, email string) (User, error) {
	form := url.Values{"username": {username}, "password": {password}, "email": {email}}
	var user User
	_, err := c.do(ctx, call{method: http.MethodPost, path: []string{"auth", "users", "create"}, form: form}, &user)
	return user, err
}

// Login answers a token for WithToken. A wrong name or password is an Error
// with status 400.
func (c *Client) Login(ctx context.Context, username, password string) (string, error) {
	form := url.Values{"username": {username}, "password": {password}}
	var answer struct {
		Token string `json:"auth_token"`
	}
	_, err := c.do(ctx, call{method: http.MethodPost, path: []string{"auth", "token", "login"}, form: form}, &answer)
	return answer.Token, err
}

// Logout ends the client's token.
func (c *Client) Logout(ctx context.Context) error {
	_, err := c.do(ctx, call{method: http.MethodPost, path: []string{"auth", "token", "logout"}}, nil)
	return err
}
