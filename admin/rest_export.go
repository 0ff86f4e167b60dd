package admin

import (
	"encoding/csv"
	"encoding/json"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/internal/abort"
)

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

// auditCSV sends a trail as RFC 4180 CSV, newest first, all of it unless a
// limit was asked for. It sends one page at a time, so that it takes the memory
// of one page. A failure on the way breaks the response off, also where
// middleware around the handler recovers panics: a truncated file must not look
// complete.
func (c *call) auditCSV(p *params, q apikey.AuditQuery, name string) error {
	q.Before = p.number("before")
	left := p.limitOf(math.MaxInt, math.MaxInt)
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
	whole := false
	defer func() {
		if !whole {
			abort.Response(c.w, c.r, false)
		}
	}()
	w := csv.NewWriter(c.w)
	w.UseCRLF = true
	_ = w.Write(exportColumns)
	for {
		for i := range entries {
			_ = w.Write(exportRow(&entries[i]))
		}
		if w.Flush(); w.Error() != nil {
			return nil // the client has gone; there is nobody to tell
		}
		if left -= len(entries); len(entries) < q.Limit || left == 0 {
			whole = true
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
	row := []string{strconv.FormatUint(e.Seq, 10), e.At.Format(time.RFC3339Nano), e.Action, e.Actor, e.From, e.KeyID, e.Owner, e.Reason, details}
	for i := range row {
		row[i] = inert(row[i])
	}
	return row
}

// inert keeps a spreadsheet from treating a text, or a part of it, as a
// formula. It puts an apostrophe before the cell, and after each character at
// which some spreadsheet begins another cell (in locales whose lists use
// semicolons, spreadsheets ignore the quotes of RFC 4180, and treat line breaks
// and tabs as ends). Anybody may have written the names, owners and reasons,
// and the one who opens the file is an operator.
func inert(cell string) string {
	if !strings.ContainsAny(cell, formulaStarts) {
		return cell
	}
	var b strings.Builder
	if formula(cell) || strings.IndexByte("\t\r\n", cell[0]) >= 0 {
		b.WriteByte('\'')
	}
	for i, r := range cell {
		b.WriteRune(r)
		if strings.ContainsRune(cellEnds, r) && formula(cell[i+utf8.RuneLen(r):]) {
			b.WriteByte('\'')
		}
	}
	return b.String()
}

const (
	// formulaStarts are the characters with which formulas begin, in every width.
	formulaStarts = "=+-@＝＋－＠﹦﹢﹣﹫−"
	// cellEnds are the characters that may end a cell or a row.
	cellEnds = ",;|\t\n\v\f\r\u0085\u2028\u2029"
)

// formula reports whether a cell with this beginning could be a formula,
// ignoring spaces, quotes and invisible characters.
func formula(cell string) bool {
	cell = strings.TrimLeftFunc(cell, func(r rune) bool {
		return r == '"' || unicode.IsSpace(r) || unicode.In(r, unicode.Cc, unicode.Cf, unicode.Z, unicode.M)
	})
	r, _ := utf8.DecodeRuneInString(cell)
	return cell != "" && strings.ContainsRune(formulaStarts, r)
}
