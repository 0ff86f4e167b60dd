package apikey

var (
	Grants     = grants
	ValidScope = validScope
)
