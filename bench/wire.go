package main

import (
	"bytes"
	"errors"
	"fmt"
)

// rawRequests returns the bytes of one request for each Authorization line.
func rawRequests(auth []string) [][]byte {
	all := make([][]byte, len(auth))
	for i, line := range auth {
		all[i] = fmt.Appendf(nil, "GET /things HTTP/1.1\r\nHost: api.example.com\r\nUser-Agent: bench/1\r\n"+
			"Accept: application/json\r\nAccept-Encoding: gzip\r\nAuthorization: %s\r\n\r\n", line)
	}
	return all
}

// shortAnswer is more than an answer of the API's takes.
const shortAnswer = 8 << 10

var (
	headStart  = []byte("HTTP/1.1 ")
	headEnd    = []byte("\r\n\r\n")
	lengthName = []byte("\r\nContent-Length: ")
)

// parseAnswer finds the first response in b. It understands what net/http sends
// for a short body, no more: a status line, and a Content-Length in that
// spelling. size is 0 while the response is not complete.
func parseAnswer(b []byte) (status, size int, err error) {
	end := bytes.Index(b, headEnd)
	if end < 0 {
		return 0, 0, nil
	}
	head := b[:end+2]
	if !bytes.HasPrefix(head, headStart) || len(head) < len(headStart)+3 {
		return 0, 0, fmt.Errorf("no status line: %.40q", head)
	}
	status, _, err = digits(head[len(headStart) : len(headStart)+3])
	if err != nil {
		return 0, 0, err
	}
	at := bytes.Index(head, lengthName)
	if at < 0 {
		return 0, 0, fmt.Errorf("an answer without Content-Length: %.40q", head)
	}
	length, n, err := digits(head[at+len(lengthName):])
	if err != nil || head[at+len(lengthName)+n] != '\r' {
		return 0, 0, fmt.Errorf("bad Content-Length: %w", err)
	}
	if size = end + len(headEnd) + length; len(b) < size {
		return 0, 0, nil
	}
	return status, size, nil
}

// digits reads the number at the start of b, of at most nine digits.
func digits(b []byte) (value, n int, err error) {
	for n < len(b) && n < 9 && '0' <= b[n] && b[n] <= '9' {
		value = value*10 + int(b[n]-'0')
		n++
	}
	if n == 0 {
		return 0, 0, errors.New("not a number")
	}
	return value, n, nil
}
