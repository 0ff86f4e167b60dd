package admin

import (
	"encoding/csv"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/wontopos/latchkey/apikey"
)

// maxExport bounds the rows of one export. What is older comes with "before".
const maxExport = 100_000

// exportPage is how many rows are read and sent at a time.
const exportPage = 1000

var exportColumns = []string{"seq", "at", "action", "actor", "from", "key_id", "owner", "reason", "details"}

func (c *call) keyAuditCSV() error {
	p := c.params("before", "limit")
	return c.auditCSV(p, apikey.AuditQuery{KeyID: c.key.ID, Owner: c.key.Owner}, "audit-"+c.key.ID+".csv")
}

func (c *call) ownerAuditCSV() error {
	p := c.params("owner", "key", "before", "limit")
	return c.auditCSV(p, apikey.AuditQuery{KeyID: p.text("key"), Owner: c.owner(p)}, "audit.csv")
}

// auditCSV sends a trail as RFC 4180 has it, newest first, a page at a time, so
// that it takes the memory of one page. A failure on the way breaks the response
// off: a file that ends early must not look whole.
func (c *call) auditCSV(p *params, q apikey.AuditQuery, name string) error {
	q.Before = p.number("before")
	left := p.limitOf(maxExport, maxExport)
	if err := p.err(); err != nil {
		return err
	}
	page := func() ([]apikey.AuditEntry, error) {
		q.Limit = min(left, exportPage)
		if err := c.enter(); err != nil {
			return nil, err
		}
		defer c.leave()
		return c.h.keys.Audit(c.r.Context(), q)
	}
	entries, err := page() // before the response begins
	if err != nil {
		return err
	}
	header := c.w.Header()
	header.Set("Content-Type", "text/csv; charset=utf-8; header=present")
	header.Set("Content-Disposition", `attachment; filename="`+name+`"`)
	c.w.WriteHeader(http.StatusOK)
	if c.r.Method == http.MethodHead {
		return nil
	}
	w := csv.NewWriter(c.w)
	w.UseCRLF = true
	_ = w.Write(exportColumns)
	for {
		for i := range entries {
			_ = w.Write(exportRow(&entries[i]))
		}
		if w.Flush(); w.Error() != nil {
			return nil // the client went away; there is nobody to tell
		}
		if left -= len(entries); len(entries) < q.Limit || left == 0 {
			return nil
		}
		q.Before = entries[len(entries)-1].Seq
		if entries, err = page(); err != nil {
			c.logFailure(c.failureOf(err), err)
			panic(http.ErrAbortHandler)
		}
	}
}

func exportRow(e *apikey.AuditEntry) []string {
	details := ""
	if len(e.Details) > 0 {
		text, _ := json.Marshal(e.Details) // strings: cannot fail
		details = string(text)
	}
	row := []string{strconv.FormatUint(e.Seq, 10), e.At.Format(time.RFC3339Nano), string(e.Action), e.Actor, e.From, e.KeyID, e.Owner, e.Reason, details}
	for i := range row {
		row[i] = inert(row[i])
	}
	return row
}

// inert keeps a spreadsheet from taking a text for a formula, in the spellings
// that one of them is known to take: with a character before it that they show
// as none. Names, owners and reasons are the words of whoever made them, and the
// one who opens the file is an operator.
func inert(cell string) string {
	text := strings.TrimLeft(cell, " ")
	for _, start := range []string{"=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"} {
		if strings.HasPrefix(text, start) {
			return "'" + cell
		}
	}
	return cell
}
