package apikey

var (
	Grants     = grants
	ValidScope = validScope
)

func (e Environment) Prepared() (Environment, error) {
	err := e.Normalize(true)
	return e, err
}
