package latchfiber_test

import (
	"crypto/tls"
	"net"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/gofiber/fiber/v3"
	fiberrecover "github.com/gofiber/fiber/v3/middleware/recover"

	"github.com/wontopos/latchkey/middleware"
	"github.com/wontopos/latchkey/middleware/latchfiber"
	"github.com/wontopos/latchkey/middleware/middlewaretest"
)

// harness lacks nothing that fasthttp's HTTP/1 has.
var harness = middlewaretest.Harness{
	Start: func(t *testing.T, g *middleware.Guard, routes []middlewaretest.Route) middlewaretest.Server {
		return middlewaretest.Server{URL: "http://" + listen(t, app(g, routes), nil)}
	},
}

// secure is harness over TLS.
var secure = middlewaretest.Harness{
	Lacks: []middlewaretest.Ability{middlewaretest.HTTP1}, // to a plain connection
	Start: func(t *testing.T, g *middleware.Guard, routes []middlewaretest.Route) middlewaretest.Server {
		s := httptest.NewTLSServer(nil) // has a certificate, and a client that trusts it
		defer s.Close()
		address := listen(t, app(g, routes), &tls.Config{Certificates: s.TLS.Certificates, MinVersion: tls.VersionTLS13})
		return middlewaretest.Server{URL: "https://" + address, Client: s.Client()}
	},
}

func TestConformance(t *testing.T)    { middlewaretest.Run(t, harness) }
func TestConformanceTLS(t *testing.T) { middlewaretest.Run(t, secure) }
func TestTransport(t *testing.T)      { middlewaretest.RunTransport(t, middlewaretest.HTTP(harness)) }

func app(g *middleware.Guard, routes []middlewaretest.Route) *fiber.App {
	a := fiber.New(fiber.Config{StreamRequestBody: true})
	a.Use(fiberrecover.New()) // fasthttp has no recovery of its own
	for _, r := range routes {
		if r.Public {
			a.Add([]string{r.Method}, r.Path, serve(r))
		} else {
			a.Add([]string{r.Method}, r.Path, latchfiber.Door(g.Door(r.Route)), serve(r))
		}
	}
	return a
}

// listen serves an application until the test ends, over TLS unless config is nil.
func listen(t *testing.T, app *fiber.App, config *tls.Config) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address = l.Addr().String()
	if config != nil {
		l = tls.NewListener(l, config)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = app.Listener(l, fiber.ListenConfig{DisableStartupMessage: true})
	}()
	t.Cleanup(func() {
		_ = app.ShutdownWithTimeout(10 * time.Millisecond) // connections that are kept alive are not waited for
		<-done
	})
	return address
}
