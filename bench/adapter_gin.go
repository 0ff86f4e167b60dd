package main

import (
	"io"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/middleware"
)

func ginRoute(k *keyset, g *middleware.Guard) func() op {
	e := newGin()
	if g == nil {
		e.GET("/things", func(c *gin.Context) { c.Data(http.StatusOK, "text/plain", okBody) })
		return httpOps(e, k)
	}
	e.GET("/things", ginGuard(g.Door(middleware.Route{Need: middleware.AllOf(need)})), func(c *gin.Context) {
		if _, ok := middleware.PrincipalFrom(c.Request.Context()); !ok {
			c.AbortWithStatus(http.StatusInternalServerError)
			return
		}
		c.Data(http.StatusOK, "text/plain", okBody)
	})
	return httpOps(e, k)
}

// ginGuard is an adapter as anybody may write it: the handlers that follow get
// the door's request, and write through the door's ResponseWriter.
func ginGuard(d *middleware.Door) gin.HandlerFunc {
	return func(c *gin.Context) {
		served := false
		c.Request.Pattern = c.FullPath()
		d.Serve(c.Writer, c.Request, func(w http.ResponseWriter, r *http.Request, _ *apikey.Principal) {
			served = true
			outerWriter, outerRequest := c.Writer, c.Request
			c.Writer, c.Request = &ginWriter{outerWriter, w}, r
			c.Next()
			c.Writer, c.Request = outerWriter, outerRequest
		})
		if !served {
			c.Abort()
		}
	}
}

// ginWriter writes through the door and knows what gin's own writer knows.
type ginWriter struct {
	gin.ResponseWriter
	door http.ResponseWriter
}

func (w *ginWriter) Header() http.Header               { return w.door.Header() }
func (w *ginWriter) Write(p []byte) (int, error)       { return w.door.Write(p) }
func (w *ginWriter) WriteString(s string) (int, error) { return io.WriteString(w.door, s) }
func (w *ginWriter) WriteHeader(status int)            { w.door.WriteHeader(status) }
func (w *ginWriter) Unwrap() http.ResponseWriter       { return w.door }

func (w *ginWriter) Flush() {
	if f, ok := w.door.(http.Flusher); ok {
		f.Flush()
	}
}
