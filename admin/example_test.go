package admin_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/admin"
	"github.com/wontopos/latchkey/storage/memstore"
)

// Customers manage the keys of their own account, at /settings/keys/.
func Example() {
	keys, err := latchkey.New(memstore.New(), latchkey.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer keys.Close(context.Background())

	// Your own sign-in: here a cookie that holds the account.
	authorize := func(r *http.Request) (admin.Actor, error) {
		session, err := r.Cookie("session")
		if err != nil {
			return admin.Actor{}, admin.ErrUnauthenticated
		}
		return admin.Actor{ID: "ann@" + session.Value, Role: admin.Customer, Owner: session.Value}, nil
	}
	page, err := admin.New(keys, authorize, admin.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	mux := http.NewServeMux()
	mux.Handle("/settings/keys/", http.StripPrefix("/settings/keys", page))

	request := httptest.NewRequest(http.MethodPost, "/settings/keys/v1/keys", strings.NewReader(`{"name":"production-backend"}`))
	request.Header.Set("Content-Type", "application/json")
	request.AddCookie(&http.Cookie{Name: "session", Value: "acme"})
	response := httptest.NewRecorder()
	mux.ServeHTTP(response, request)
	fmt.Println(response.Code, strings.Contains(response.Body.String(), `"owner":"acme"`))

	request = httptest.NewRequest(http.MethodGet, "/settings/keys/v1/keys", nil)
	response = httptest.NewRecorder()
	mux.ServeHTTP(response, request)
	fmt.Println(response.Code)
	// Output:
	// 201 true
	// 401
}

// In development there is no sign-in: the program prints a link.
func ExampleLoopback() {
	keys, err := latchkey.New(memstore.New(), latchkey.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer keys.Close(context.Background())

	session := admin.Loopback()
	page, err := admin.New(keys, session.Authorize, admin.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	http.Handle("/keys/", http.StripPrefix("/keys", page))
	link := session.Link("http://localhost:8080/keys/")
	fmt.Println("open", link[:strings.Index(link, "=")+1]+"…")
	// Output: open http://localhost:8080/keys/?login=…
}

// A handful of people sign in with passwords. Hashes come from the environment
// or a file; make them once with HashPassword.
func ExampleBasicAuth() {
	keys, err := latchkey.New(memstore.New(), latchkey.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer keys.Close(context.Background())

	hash, err := admin.HashPassword("correct horse battery staple")
	if err != nil {
		fmt.Println(err)
		return
	}
	authorize, err := admin.BasicAuth(
		admin.Account{Name: "olga", Hash: hash, Actor: admin.Actor{Role: admin.Operator}},
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	page, err := admin.New(keys, authorize, admin.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, password := range []string{"correct horse battery staple", "a guess"} {
		request := httptest.NewRequest(http.MethodGet, "/v1/keys", nil)
		request.SetBasicAuth("olga", password)
		response := httptest.NewRecorder()
		page.ServeHTTP(response, request)
		fmt.Println(response.Code)
	}
	// Output:
	// 200
	// 401
}
