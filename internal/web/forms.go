package web

import (
	"errors"
	"net/http"
	"strconv"

	"github.com/chatcluster/chatcluster/internal/chat"
)

// field is one input of a form.
type field struct {
	Name, Label, Type, Autocomplete, Hint string
	Required                              bool

	// What the visitor entered and what is wrong with it.
	Value  string
	Errors []string
	Focus  bool
}

// form is what templates/form.html shows.
type form struct {
	Title, Action, Next              string
	OtherText, OtherTitle, OtherPath string
	Fields                           []field
	// Errors concern no single field.
	Errors []string
}

func newLoginForm() form {
	return form{
		Title: "Log in", Action: "/login/",
		OtherText: "No account yet?", OtherTitle: "Sign up", OtherPath: "/signup/",
		Fields: []field{
			{Name: "username", Label: "Username", Type: "text", Autocomplete: "username", Required: true},
			{Name: "password", Label: "Password", Type: "password", Autocomplete: "current-password", Required: true},
		},
	}
}

func newSignupForm() form {
	return form{
		Title: "Sign up", Action: "/signup/",
		OtherText: "Already have an account?", OtherTitle: "Log in", OtherPath: "/login/",
		Fields: []field{
			{Name: "username", Label: "Username", Type: "text", Autocomplete: "username", Required: true,
				Hint: "Letters, digits and @ . + - _ only."},
			{Name: "password", Label: "Password", Type: "password", Autocomplete: "new-password", Required: true,
				Hint: "At least 8 characters."},
			{Name: "email", Label: "Email", Type: "email", Autocomplete: "email"},
			{Name: "first_name", Label: "First name", Type: "text", Autocomplete: "given-name"},
			{Name: "last_name", Label: "Last name", Type: "text", Autocomplete: "family-name"},
		},
	}
}

func (w *Web) loginForm(rw http.ResponseWriter, r *http.Request) { w.emptyForm(rw, r, newLoginForm()) }

func (w *Web) signupForm(rw http.ResponseWriter, r *http.Request) {
	w.emptyForm(rw, r, newSignupForm())
}

func (w *Web) emptyForm(rw http.ResponseWriter, r *http.Request, f form) {
	f.Next = localPath(r.URL.Query().Get("next"))
	id, ok := w.visitor(rw, r)
	if !ok {
		return
	}
	if id != nil {
		http.Redirect(rw, r, f.Next, http.StatusFound)
		return
	}
	f.Fields[0].Focus = true
	w.render(rw, r, http.StatusOK, "form.html", f)
}

func (w *Web) login(rw http.ResponseWriter, r *http.Request) {
	f := newLoginForm()
	if !w.parseForm(rw, r) {
		return
	}
	w.enter(rw, r, f)
}

func (w *Web) signup(rw http.ResponseWriter, r *http.Request) {
	f := newSignupForm()
	if !w.parseForm(rw, r) {
		return
	}
	_, err := w.accounts.Register(r.Context(), chat.NewUser{
		Username:  r.PostForm.Get("username"),
		Password:  r.PostForm.Get("password"),
		Email:     r.PostForm.Get("email"),
		FirstName: r.PostForm.Get("first_name"),
		LastName:  r.PostForm.Get("last_name"),
	})
	if err != nil {
		w.formError(rw, r, f, err)
		return
	}
	w.enter(rw, r, f)
}

// enter logs the visitor in by the form's username and password and sends them
// on.
func (w *Web) enter(rw http.ResponseWriter, r *http.Request, f form) {
	token, _, err := w.accounts.Login(r.Context(), r.PostForm.Get("username"), r.PostForm.Get("password"), w.options.ClientAddr(r))
	if err != nil {
		w.formError(rw, r, f, err)
		return
	}
	id, err := w.accounts.Authenticate(r.Context(), token)
	if err != nil {
		w.fail(rw, r, f.Title, err)
		return
	}
	setCookie(rw, r, token, int(id.Token.Expires.Sub(id.Token.Created).Seconds()))
	http.Redirect(rw, r, localPath(r.PostForm.Get("next")), http.StatusSeeOther)
}

func (w *Web) logout(rw http.ResponseWriter, r *http.Request) {
	id, ok := w.visitor(rw, r)
	if !ok {
		return
	}
	if id != nil {
		if err := w.accounts.Logout(r.Context(), *id); err != nil {
			w.fail(rw, r, "log out", err)
			return
		}
	}
	setCookie(rw, r, "", -1)
	http.Redirect(rw, r, "/login/", http.StatusSeeOther)
}

func (w *Web) parseForm(rw http.ResponseWriter, r *http.Request) bool {
	err := r.ParseForm()
	if err == nil {
		return true
	}
	status := http.StatusBadRequest
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		status = http.StatusRequestEntityTooLarge
	}
	w.refuse(rw, r, status, "Form not readable", "The server could not read the form. Open the page again and retry.")
	return false
}

// formError shows the form again with what was entered, but for passwords, and
// what is wrong with it.
func (w *Web) formError(rw http.ResponseWriter, r *http.Request, f form, err error) {
	status := http.StatusBadRequest
	var byField chat.FieldErrors
	var busy *chat.BusyError
	switch {
	case errors.As(err, &byField):
	case errors.Is(err, chat.ErrBadLogin):
		byField = chat.FieldErrors{chat.NonField: {"Unknown username or wrong password."}}
	case errors.As(err, &busy):
		seconds := int(busy.RetryAfter.Seconds())
		rw.Header().Set("Retry-After", strconv.Itoa(seconds))
		byField = chat.FieldErrors{}
		byField.Add(chat.NonField, "%s Try again in %d s.", busy.Reason, seconds)
		status = http.StatusServiceUnavailable
		if busy.Caller {
			status = http.StatusTooManyRequests
		}
	default:
		w.fail(rw, r, f.Title, err)
		return
	}
	w.render(rw, r, status, "form.html", f.filled(r, byField))
}

func (f form) filled(r *http.Request, errs chat.FieldErrors) form {
	f.Next = localPath(r.PostForm.Get("next"))
	f.Errors = errs[chat.NonField]
	focused := false
	for i := range f.Fields {
		in := &f.Fields[i]
		in.Errors = errs[in.Name]
		if in.Type != "password" {
			in.Value = r.PostForm.Get(in.Name)
		}
		if len(in.Errors) > 0 && !focused {
			in.Focus, focused = true, true
		}
	}
	if !focused {
		f.Fields[0].Focus = true
	}
	return f
}
