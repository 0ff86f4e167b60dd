package latchgrpc

import (
	"fmt"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/wontopos/latchkey/middleware"
)

// header is the header metadata of an admitted call or a refusal.
func header(o *middleware.Outcome) metadata.MD {
	md := make(metadata.MD)
	for name, value := range o.ResponseFields() {
		if name != "Content-Type" { // gRPC has its own
			name = lower(name)
			md[name] = append(md[name], value)
		}
	}
	return md
}

// lower spells the name of a field as metadata do, without memory for those of an
// admitted call.
func lower(name string) string {
	switch name {
	case "Authorization":
		return "authorization"
	case "RateLimit-Policy":
		return "ratelimit-policy"
	case "RateLimit":
		return "ratelimit"
	}
	return strings.ToLower(name)
}

// refusal is the status of a refused call.
func refusal(o *middleware.Outcome) error {
	about := make(map[string]string)
	if missing := o.MissingScopes(); len(missing) > 0 {
		about["missing_scopes"] = strings.Join(missing, " ")
	}
	if url := o.BaseURL(); url != "" {
		about["base_url"] = url
	}
	var more []protoadapt.MessageV1
	if n := o.RetryAfter(); n > 0 {
		more = append(more, &errdetails.RetryInfo{RetryDelay: durationpb.New(time.Duration(n) * time.Second)})
	}
	info := o.Code().Info()
	return refuse(codes.Code(info.GRPC), info.Name, o.Detail(), about, more...)
}

// unknown is the status of a call of a method without a row.
func unknown(method string) error {
	return refuse(codes.PermissionDenied, "unknown_method",
		fmt.Sprintf("Nobody may call %q: the server's latchgrpc.Methods do not name it. Add it to Guarded or Public.", method), nil)
}

func refuse(code codes.Code, name, detail string, about map[string]string, more ...protoadapt.MessageV1) error {
	info := &errdetails.ErrorInfo{Reason: strings.ToUpper(name), Domain: "latchkey", Metadata: about}
	s, err := status.New(code, detail).WithDetails(append(more, info)...)
	if err != nil {
		return status.Error(code, detail)
	}
	return s.Err()
}

// httpStatus is the status of HTTP for what a handler returned, as
// google.rpc.Code maps them.
func httpStatus(err error) int {
	s, ok := status.FromError(err)
	if !ok {
		s = status.FromContextError(err)
	}
	if code := int(s.Code()); code < len(statuses) {
		return statuses[code]
	}
	return statuses[codes.Unknown]
}

var statuses = [...]int{
	codes.OK: 200, codes.Canceled: 499, codes.Unknown: 500, codes.InvalidArgument: 400, codes.DeadlineExceeded: 504,
	codes.NotFound: 404, codes.AlreadyExists: 409, codes.PermissionDenied: 403, codes.ResourceExhausted: 429,
	codes.FailedPrecondition: 400, codes.Aborted: 409, codes.OutOfRange: 400, codes.Unimplemented: 501,
	codes.Internal: 500, codes.Unavailable: 503, codes.DataLoss: 500, codes.Unauthenticated: 401,
}
