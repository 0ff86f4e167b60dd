package chains

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	coder "github.com/coder/websocket"
	"github.com/gin-gonic/gin"
	gorilla "github.com/gorilla/websocket"
	sse "github.com/tmaxmax/go-sse"
)

var streams = []*streaming{
	{"stream", "part\n", func(w http.ResponseWriter, r *http.Request, s *steps) {
		w.Header().Set("Content-Type", "text/plain")
		_, _ = io.WriteString(w, "part\n")
		s.sent <- http.NewResponseController(w).Flush()
		s.wait(r)
		_, _ = io.WriteString(w, "late\n")
	}},
	{"flush", "", func(w http.ResponseWriter, r *http.Request, s *steps) { // the header alone, as before there were ResponseControllers
		w.Header().Set("Content-Type", "text/plain")
		if f, ok := w.(http.Flusher); ok {
			f.Flush()
			s.sent <- nil
		} else {
			s.sent <- errors.New("not a Flusher")
		}
		s.wait(r)
		_, _ = io.WriteString(w, "late\n")
	}},
	{"go-sse", "data: part\n", func(w http.ResponseWriter, r *http.Request, s *steps) {
		send := func(text string) error {
			session, err := sse.Upgrade(w, r)
			if err != nil {
				return err
			}
			m := &sse.Message{}
			m.AppendData(text)
			return errors.Join(session.Send(m), session.Flush())
		}
		s.sent <- send("part")
		s.wait(r)
		if send("late") != nil {
			_, _ = io.WriteString(w, "late\n")
		}
	}},
	{"c.Stream", "part\n", func(w http.ResponseWriter, r *http.Request, s *steps) {
		gin.SetMode(gin.ReleaseMode)
		e, step := gin.New(), 0
		e.GET("/", func(c *gin.Context) {
			c.Header("Content-Type", "text/plain")
			c.Stream(func(w io.Writer) bool {
				if step++; step == 1 {
					_, _ = io.WriteString(w, "part\n")
					return true // flushes
				}
				s.sent <- nil
				s.wait(r)
				_, _ = io.WriteString(w, "late\n")
				return false
			})
		})
		e.ServeHTTP(w, r)
	}},
}

var takeovers = []*takeover{
	{"hijack", func(w http.ResponseWriter, _ *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			http.Error(w, err.Error(), http.StatusNotImplemented)
			return
		}
		defer conn.Close()
		_, _ = rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: part\r\n\r\npart\n")
		for err = rw.Flush(); err == nil; err = rw.Flush() {
			line, err := rw.ReadString('\n')
			if err != nil {
				break
			}
			_, _ = rw.WriteString(line)
		}
		_, _ = io.WriteString(conn, "late\n")
	}, dialRaw},
	{"coder", func(w http.ResponseWriter, r *http.Request) {
		c, err := coder.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer c.Close(coder.StatusNormalClosure, "late")
		ctx, text := r.Context(), []byte("part")
		for err == nil {
			if err = c.Write(ctx, coder.MessageText, text); err == nil {
				_, text, err = c.Read(ctx)
			}
		}
	}, dialWebSocket},
	{"gorilla", func(w http.ResponseWriter, r *http.Request) {
		c, err := (&gorilla.Upgrader{}).Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer c.Close()
		text := []byte("part")
		for err == nil {
			if err = c.WriteMessage(gorilla.TextMessage, text); err == nil {
				_, text, err = c.ReadMessage()
			}
		}
		goodbye := gorilla.FormatCloseMessage(gorilla.CloseNormalClosure, "late")
		_ = c.WriteControl(gorilla.CloseMessage, goodbye, time.Now().Add(patience))
	}, dialWebSocket},
}

func dialRaw(v *visit) (*talk, error) {
	conn, err := net.DialTimeout("tcp", v.server.Listener.Addr().String(), patience)
	if err != nil {
		return nil, err
	}
	_ = conn.SetDeadline(time.Now().Add(patience))
	r := v.request("GET", "/", nil, "Connection", "Upgrade", "Upgrade", "part")
	in := bufio.NewReader(conn)
	err = r.Write(conn)
	if err == nil {
		var res *http.Response
		if res, err = http.ReadResponse(in, r); err == nil && res.StatusCode != http.StatusSwitchingProtocols {
			err = errors.New(res.Status)
		}
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return &talk{
		hear: func() (string, error) {
			line, err := in.ReadString('\n')
			return strings.TrimSuffix(line, "\n"), err
		},
		say:     func(text string) error { _, err := fmt.Fprintln(conn, text); return err },
		orderly: func(err error) bool { return errors.Is(err, io.EOF) },
		close:   func() { _ = conn.Close() },
	}, nil
}

func dialWebSocket(v *visit) (*talk, error) {
	c, _, err := coder.Dial(v.ctx, v.server.URL, &coder.DialOptions{HTTPClient: v.client, HTTPHeader: v.request("GET", "/", nil).Header})
	if err != nil {
		return nil, err
	}
	return &talk{
		hear: func() (string, error) {
			_, b, err := c.Read(v.ctx)
			return string(b), err
		},
		say:     func(text string) error { return c.Write(v.ctx, coder.MessageText, []byte(text)) },
		orderly: func(err error) bool { return coder.CloseStatus(err) != -1 || errors.Is(err, context.DeadlineExceeded) },
		close:   func() { _ = c.CloseNow() },
	}, nil
}
