package api

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/gorilla/mux"
)

// audience says whom a route is for.
type audience uint8

const (
	// anyone needs no token, and one that is sent is not looked at.
	anyone audience = iota
	// users is everyone who is logged in.
	users
	// staff is administrators only.
	staff
	// visitors is users, but a browser that is not logged in is sent to the
	// log-in page.
	visitors
)

// handler answers a request, or says why not.
type handler func(ctx context.Context, req *request) (answer, error)

// route is one call of the API.
type route struct {
	method string
	// paths are all the paths of the call, without the trailing slash, which
	// makes no difference.
	paths    []string
	audience audience
	handle   handler
}

func (a *API) routes() []route {
	const (
		get, post, patch, del = http.MethodGet, http.MethodPost, http.MethodPatch, http.MethodDelete
	)
	at := func(paths ...string) []string { return paths }
	return []route{
		{post, at("/auth/users/create", "/auth/user/create"), anyone, a.register},
		{post, at("/auth/token/login", "/auth/user/login"), anyone, a.login},
		{post, at("/auth/token/logout", "/auth/user/logout"), users, a.logout},
		{post, at("/auth/users/set_password"), users, a.setPassword},
		{get, at("/auth/users/me"), users, a.me},
		{patch, at("/auth/users/me"), users, a.updateMe},

		{post, at("/api/chats"), users, a.createSession},
		{get, at("/api/chats"), users, a.listSessions},
		{get, at("/api/chats/{uri}"), users, a.showSession},
		{patch, at("/api/chats/{uri}"), users, a.patchSession},
		{get, at("/api/chats/{uri}/members"), users, a.listMembers},
		{del, at("/api/chats/{uri}/members/{username}"), users, a.removeMember},
		{post, at("/api/chats/{uri}/messages"), users, a.sendMessage},
		{get, at("/api/chats/{uri}/messages"), users, a.listMessages},

		{get, at("/api/rooms"), users, a.listRooms},
		{get, at("/api/admin/rooms"), staff, a.listRooms},
		{post, at("/api/admin/rooms"), staff, a.createRoom},
		{patch, at("/api/admin/rooms/{id}"), staff, a.updateRoom},
		{del, at("/api/admin/rooms/{id}"), staff, a.deleteRoom},
		{get, at("/api/admin/users"), staff, a.listUsers},
		{patch, at("/api/admin/users/{id}"), staff, a.updateUser},

		{get, at("/api/openapi.json"), anyone, a.showOpenAPI},
		{get, at("/docs"), visitors, a.showDocs},
		{get, at("/livez"), anyone, a.livez},
		{get, at("/readyz"), anyone, a.readyz},
	}
}

// Handler serves every route. Whatever it does not know it answers with 404
// itself, so that it can stand behind other handlers.
func (a *API) Handler() http.Handler {
	// A cleaned path would be answered by a redirect. An encoded one keeps a
	// %2F inside the variable that it belongs to.
	router := mux.NewRouter().SkipClean(true).UseEncodedPath()
	resources := map[string]*resource{}
	for _, rt := range a.routes() {
		for _, path := range rt.paths {
			res := resources[path]
			if res == nil {
				res = &resource{api: a, path: path + "/", routes: map[string]route{}}
				resources[path] = res
				router.Handle(path, res)
				router.Handle(path+"/", res)
			}
			res.routes[rt.method] = rt
		}
	}
	router.NotFoundHandler = http.HandlerFunc(a.unknownPath)
	return router
}

// resource is one path with all its methods.
type resource struct {
	api *API
	// path is the template of the path, with the trailing slash.
	path   string
	routes map[string]route
}

func (res *resource) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet // net/http leaves out the body
	}
	rt, known := res.routes[method]
	res.api.respond(w, r, res.path, func() (answer, error) {
		switch {
		case known:
			return res.api.call(w, r, rt)
		case method == http.MethodOptions:
			return answer{status: http.StatusNoContent, header: http.Header{"Allow": {res.allow()}}}, nil
		default:
			return answer{}, methodNotAllowed(r.Method, res.allow())
		}
	})
}

func (res *resource) allow() string {
	methods := []string{http.MethodOptions}
	for method := range res.routes {
		methods = append(methods, method)
		if method == http.MethodGet {
			methods = append(methods, http.MethodHead)
		}
	}
	slices.Sort(methods)
	return strings.Join(methods, ", ")
}
