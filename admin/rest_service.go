package admin

import (
	_ "embed"
	"net/http"
)

//go:embed openapi.yaml
var openAPI []byte

// openAPIDocument answers with the description of this API.
func (c *call) openAPIDocument() error {
	if err := c.params().err(); err != nil {
		return err
	}
	return c.write(http.StatusOK, "application/yaml", openAPI)
}

// health reports whether this process can vouch for its answers.
func (c *call) health() error {
	if err := c.params().err(); err != nil {
		return err
	}
	h := c.h.keys.Health()
	return c.json(http.StatusOK, struct {
		Ready     bool     `json:"ready"`
		LeaseLeft duration `json:"lease_left"`
		Position  uint64   `json:"position"`
		Acked     uint64   `json:"acked"`
		Instances int      `json:"instances"`
		Push      bool     `json:"push"`
		Failing   bool     `json:"failing"` // the last poll failed; the log says why
		Refusing  string   `json:"refusing"`
	}{h.Ready, duration(max(h.LeaseLeft, 0)), h.Position, h.Acked, h.Instances, h.Push, h.Error != "", h.Refusing})
}

// refreshPlans makes every process look up the plans again.
func (c *call) refreshPlans() error {
	if err := c.body(&emptyRequest{}); err != nil {
		return err
	}
	if err := c.h.keys.RefreshPlans(c.r.Context()); err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}
