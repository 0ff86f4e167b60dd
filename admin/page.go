package admin

import (
	"bytes"
	"embed"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/cespare/xxhash/v2"
)

//go:embed assets
var assets embed.FS

var pages = func() map[string]*template.Template {
	layout := template.Must(template.New("layout.html").Funcs(templateFuncs).ParseFS(assets, "assets/layout.html", "assets/parts.html"))
	all := make(map[string]*template.Template)
	for _, name := range []string{"list", "new", "secret", "key", "again", "first-use", "leak", "routes", "failure"} {
		all[name] = template.Must(template.Must(layout.Clone()).ParseFS(assets, "assets/"+name+".html"))
	}
	return all
}()

// asset is a static file. It is the same for everybody, and its address changes
// with its content.
type asset struct {
	name, contentType, version string
	content                    []byte
}

// newAsset reads an embedded file and appends added.
func newAsset(name, contentType, added string) asset {
	content, err := assets.ReadFile("assets/" + name)
	must(err)
	if added != "" {
		content = append(append(content, '\n'), added...)
	}
	return asset{name, contentType, strconv.FormatUint(xxhash.Sum64(content), 36), content}
}

// address is the asset's address, from the mount point.
func (a *asset) address() string { return "assets/" + a.name + "?v=" + a.version }

func (c *call) asset(a *asset) error {
	if c.r.URL.Query().Get("v") == a.version {
		c.w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	} else {
		c.w.Header().Set("Cache-Control", "no-cache")
	}
	tag := `"` + a.version + `"`
	c.w.Header().Set("ETag", tag)
	if c.r.Header.Get("If-None-Match") == tag {
		c.w.WriteHeader(http.StatusNotModified)
		return nil
	}
	return c.write(http.StatusOK, a.contentType, a.content)
}

func (c *call) styleSheet() error { return c.asset(&c.h.style) }
func (c *call) module() error     { return c.asset(&c.h.script) }

// view is what every page has; Body is specific to the page.
type view struct {
	Title  string // of this page
	App    string // Options.Title
	Root   string // the relative address of the mount point: "./", "../", …
	Style  string
	Script string
	Actor  *Actor // nil on failures, if nobody is known
	Routes bool   // there is a list of them
	Body   any
}

// CanWrite reports whether to show controls that change something.
func (v *view) CanWrite() bool { return v.Actor != nil && !v.Actor.ReadOnly }

// Operator reports whether to show the owners of keys.
func (v *view) Operator() bool { return v.Actor != nil && v.Actor.operator() }

// page answers with a rendered page.
func (c *call) page(status int, name, title string, body any) error {
	var out bytes.Buffer
	v := &view{Title: title, App: c.h.o.Title, Root: c.root(), Routes: c.h.o.Routes != nil, Body: body}
	v.Style, v.Script = v.Root+c.h.style.address(), v.Root+c.h.script.address()
	if c.actor.Role != 0 {
		v.Actor = &c.actor
	}
	if err := pages[name].ExecuteTemplate(&out, "layout.html", v); err != nil {
		return err
	}
	return c.write(status, "text/html; charset=utf-8", out.Bytes())
}

// root is the relative path from the request's address to the mount point.
func (c *call) root() string {
	depth := strings.Count(strings.TrimPrefix(c.r.URL.EscapedPath(), "/"), "/")
	if depth == 0 {
		return "./"
	}
	return strings.Repeat("../", depth)
}

// failureBody is a refusal, and where to sign in if that helps.
type failureBody struct {
	problem
	SignIn string
}

func (c *call) failPage(p problem, signIn string) {
	if err := c.page(p.Status, "failure", p.Title, failureBody{p, signIn}); err != nil {
		http.Error(c.w, p.Title, p.Status)
	}
}

// pageBack redirects from the address to which a form was sent to the key.
func (c *call) pageBack() error { return c.redirect(http.StatusSeeOther, "../"+c.key.ID) }

// input reads a form that the page sent. Fields that the form does not have are
// refused, so that nothing is ever accepted by accident.
func (c *call) input(known ...string) (url.Values, error) {
	c.r.Body = http.MaxBytesReader(c.w, c.r.Body, maxBody)
	if media, _, _ := strings.Cut(c.r.Header.Get("Content-Type"), ";"); strings.TrimSpace(media) != "application/x-www-form-urlencoded" {
		return nil, &failure{info: wrongMediaType, detail: "this address takes the form of its page; programs use the addresses below v1/"}
	}
	if err := c.r.ParseForm(); err != nil {
		return nil, bodyError(err)
	}
	var faults []fieldError
	for name := range c.r.PostForm {
		if !slices.Contains(known, name) {
			faults = append(faults, fieldError{Pointer: "/" + escapePointer(name), Detail: "is not known here"})
		}
	}
	return c.r.PostForm, invalidFields(faults)
}
