// Package openapi holds the REST API of package admin against its description,
// admin/openapi.yaml. It is a module of its own, so that nobody who uses latchkey
// downloads what its test needs.
//
// The tests of package admin write down every exchange that they make
// (LATCHKEY_RECORD_EXCHANGES names the folder), and the table of routes. Then
//
//   - every route is in the document, and every operation of the document is a
//     route;
//   - every status of an answer is documented, and every documented status was
//     seen;
//   - every answer fits its schema, has the documented header fields, and no
//     others; so does every request that succeeded, with its parameters;
//   - answers of no route (an unknown address, a wrong method) are problems.
//
// Of the validators for Go, getkin/kin-openapi and pb33f/libopenapi-validator
// both know OpenAPI 3.1, by a complete validator of its JSON Schema 2020-12. This
// is kin-openapi: it needs half the modules. What it lets pass, Check refuses:
// parameters and header fields that are not documented, statuses of redirects.
package openapi
