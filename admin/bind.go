package admin

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// maxBody bounds every request body: the largest field, a key's metadata, is
// at most 64 KiB.
const maxBody = 256 << 10

// maxFaults bounds how many faults one answer lists.
const maxFaults = 20

// body reads the JSON body into dst, a pointer to a struct, and checks it. If
// there is no body, dst is unchanged.
//
// encoding/json would accept names in any case, the last of two equal names,
// and null for anything, and could not say where in an array a fault is. So it
// only splits the text here, and binder decides.
func (c *call) body(dst any) error {
	if err := c.params().err(); err != nil {
		return err
	}
	raw, err := io.ReadAll(http.MaxBytesReader(c.w, c.r.Body, maxBody))
	if err != nil {
		return bodyError(err)
	}
	if len(raw) > 0 {
		media, _, err := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
		if err != nil || media != "application/json" {
			return &failure{info: wrongMediaType, detail: "send the body as JSON, with Content-Type: application/json", header: http.Header{"Accept": {"application/json"}}}
		}
		if err := wellFormed(raw); err != nil {
			return err
		}
		b := new(binder)
		b.value(raw, reflect.ValueOf(dst).Elem(), "")
		if err := invalidFields(b.faults); err != nil {
			return err
		}
	}
	return invalidFields(c.h.check(dst))
}

func bodyError(err error) error {
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return &failure{info: bodyTooLarge, detail: fmt.Sprintf("the body may have at most %d bytes", tooLarge.Limit)}
	}
	return &failure{info: malformedBody, detail: "the body could not be read to its end", err: err}
}

// wellFormed accepts exactly one JSON value in UTF-8, with nothing after it.
func wellFormed(raw []byte) error {
	if !utf8.Valid(raw) {
		return &failure{info: malformedBody, detail: "the body is not UTF-8"}
	}
	var one json.RawMessage
	err := json.Unmarshal(raw, &one)
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		return &failure{info: malformedBody, detail: fmt.Sprintf("the body is not one JSON value: look at byte %d", syntax.Offset)}
	}
	if err != nil {
		return &failure{info: malformedBody, detail: "the body is not one JSON value"}
	}
	if at := halfPair(raw); at >= 0 {
		return &failure{info: malformedBody, detail: fmt.Sprintf("the body holds half of a surrogate pair, which is no character: look at byte %d", at)}
	}
	return nil
}

// halfPair returns the position of half a surrogate pair in well-formed JSON,
// or -1 if there is none. It would be decoded as a different character from the
// one sent, and two names as one.
func halfPair(raw []byte) int {
	unit := func(i int) rune { // of the escape at i, otherwise 0
		if i+6 > len(raw) || raw[i] != '\\' || raw[i+1] != 'u' {
			return 0
		}
		n, _ := strconv.ParseUint(string(raw[i+2:i+6]), 16, 16)
		return rune(n)
	}
	for i := 0; i < len(raw); i++ {
		if raw[i] != '\\' {
			continue
		}
		switch u := unit(i); {
		case utf16.IsSurrogate(u) && utf16.DecodeRune(u, unit(i+6)) != utf8.RuneError:
			i += 11
		case utf16.IsSurrogate(u):
			return i
		default:
			i++ // the escaped character
		}
	}
	return -1
}

// binder copies JSON into a struct and collects what does not fit, each with
// the pointer to it. Struct fields have the names in their json tags. A field
// tagged null:"empty" accepts null as its zero value; every other field refuses
// null. Faults never repeat a value.
type binder struct{ faults []fieldError }

// scalar is one of our types with its own form in JSON.
type scalar interface {
	setJSON(raw []byte) error // its text is sent to the client
}

func (b *binder) fault(pointer, detail string) {
	if len(b.faults) < maxFaults {
		b.faults = append(b.faults, fieldError{Pointer: pointer, Detail: detail})
	}
}

func (b *binder) value(raw []byte, v reflect.Value, at string) {
	raw = bytes.TrimSpace(raw)
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		b.value(raw, v.Elem(), at)
		return
	}
	if s, ok := v.Addr().Interface().(scalar); ok {
		if err := s.setJSON(raw); err != nil {
			b.fault(at, err.Error())
		}
		return
	}
	first := raw[0]
	switch kind := v.Kind(); {
	case first == 'n':
		b.fault(at, "must not be null")
	case kind == reflect.String && first == '"', kind == reflect.Bool && (first == 't' || first == 'f'):
		_ = json.Unmarshal(raw, v.Addr().Interface()) // well-formed, and of the right type
	case kind == reflect.Int64 && (first == '-' || first >= '0' && first <= '9'):
		n, ok := wholeNumber(string(raw))
		if !ok {
			b.fault(at, "must be a whole number")
		}
		v.SetInt(n)
	case kind == reflect.Slice && first == '[':
		b.array(raw, v, at)
	case kind == reflect.Map && first == '{':
		b.stringMap(raw, v, at)
	case kind == reflect.Struct && first == '{':
		b.object(raw, v, at)
	default:
		b.fault(at, "must be "+kindName(kind))
	}
}

func kindName(k reflect.Kind) string {
	switch k {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Int64:
		return "a whole number"
	case reflect.Slice:
		return "an array"
	}
	return "an object"
}

func (b *binder) array(raw []byte, v reflect.Value, at string) {
	var items []json.RawMessage
	_ = json.Unmarshal(raw, &items)
	v.Set(reflect.MakeSlice(v.Type(), len(items), len(items)))
	for i, item := range items {
		b.value(item, v.Index(i), at+"/"+strconv.Itoa(i))
	}
}

func (b *binder) stringMap(raw []byte, v reflect.Value, at string) {
	v.Set(reflect.MakeMap(v.Type()))
	for name, value := range b.members(raw, at) {
		element := reflect.New(v.Type().Elem()).Elem()
		b.value(value, element, at+"/"+escapePointer(name))
		v.SetMapIndex(reflect.ValueOf(name), element)
	}
}

func (b *binder) object(raw []byte, v reflect.Value, at string) {
	for name, value := range b.members(raw, at) {
		i := slices.IndexFunc(reflect.VisibleFields(v.Type()), func(f reflect.StructField) bool { return f.Tag.Get("json") == name })
		switch {
		case i < 0:
			b.fault(at+"/"+escapePointer(name), "is not known here")
		case string(bytes.TrimSpace(value)) != "null" || v.Type().Field(i).Tag.Get("null") != "empty":
			b.value(value, v.Field(i), at+"/"+name)
		case v.Field(i).Kind() == reflect.Pointer:
			v.Field(i).Set(reflect.New(v.Field(i).Type().Elem()))
		}
	}
}

// members walks an object in the order of its text. A duplicate name is a
// fault, because two readers could use different values.
func (b *binder) members(raw []byte, at string) func(yield func(string, json.RawMessage) bool) {
	return func(yield func(string, json.RawMessage) bool) {
		d := json.NewDecoder(bytes.NewReader(raw))
		_, _ = d.Token() // '{'; the text is well-formed
		seen := make(map[string]bool)
		for d.More() {
			token, _ := d.Token()
			name, _ := token.(string)
			var value json.RawMessage
			if d.Decode(&value) != nil {
				return
			}
			if seen[name] {
				b.fault(at+"/"+escapePointer(name), "is duplicated")
				continue
			}
			seen[name] = true
			if !yield(name, value) {
				return
			}
		}
	}
}

// escapePointer writes a member's name as a segment of a JSON pointer (RFC
// 6901), shortened if it would make the answer long.
func escapePointer(name string) string {
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(clipName(name))
}

// clipName shortens a name from the client if it would make the answer long.
func clipName(name string) string {
	if len(name) > 128 {
		return strings.ToValidUTF8(name[:128], "") + "…"
	}
	return name
}
