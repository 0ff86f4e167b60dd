package latchconnect

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/wontopos/latchkey/middleware"
)

// refuser answers calls in their own protocol.
type refuser struct{ *connect.ErrorWriter }

// refuse answers a call that is not admitted, or was cut before its answer.
func (f refuser) refuse(w http.ResponseWriter, r *http.Request, o *middleware.Outcome) {
	addFields(w.Header(), o)
	_ = f.Write(w, r, refusal(o))
}

// unknown answers a call of a method that has no row.
func (f refuser) unknown(w http.ResponseWriter, r *http.Request) {
	_ = f.Write(w, r, refuse(connect.CodePermissionDenied, "unknown_method",
		fmt.Sprintf("Nobody may call %q: the server's latchconnect.Methods do not name it. Add it to Guarded or Public.", r.URL.Path), nil))
}

// addFields adds the fields of an admitted call or a refusal.
func addFields(h http.Header, o *middleware.Outcome) {
	for name, value := range o.ResponseFields() {
		switch name {
		case "Content-Type": // each protocol has its own
		case "Vary":
			h.Add(name, value)
		case "RateLimit-Policy": // every answer has these two: Set would make their canonical names anew
			h["Ratelimit-Policy"] = []string{value}
		case "RateLimit":
			h["Ratelimit"] = []string{value}
		default:
			h.Set(name, value)
		}
	}
}

// refusal is the error of a refused call.
func refusal(o *middleware.Outcome) *connect.Error {
	about := make(map[string]string)
	if missing := o.MissingScopes(); len(missing) > 0 {
		about["missing_scopes"] = strings.Join(missing, " ")
	}
	if url := o.BaseURL(); url != "" {
		about["base_url"] = url
	}
	var more []proto.Message
	if n := o.RetryAfter(); n > 0 {
		more = append(more, &errdetails.RetryInfo{RetryDelay: durationpb.New(time.Duration(n) * time.Second)})
	}
	info := o.Code().Info()
	return refuse(connect.Code(info.GRPC), info.Name, o.Detail(), about, more...)
}

func refuse(code connect.Code, name, detail string, about map[string]string, more ...proto.Message) *connect.Error {
	e := connect.NewError(code, errors.New(detail))
	for _, m := range append(more, &errdetails.ErrorInfo{Reason: strings.ToUpper(name), Domain: "latchkey", Metadata: about}) {
		if d, err := connect.NewErrorDetail(m); err == nil {
			e.AddDetail(d)
		}
	}
	return e
}
