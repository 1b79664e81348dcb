package partner

// Address is where a company is at home by law.
type Address struct {
	Line1      string `json:"line1"`
	Line2      string `json:"line2,omitempty"`
	City       string `json:"city"`
	PostalCode string `json:"postalCode,omitempty"`
	// State is a code of the country's list, "" where it has none.
	State   string `json:"state,omitempty"`
	Country string `json:"country"`
}

// Contact is the primary contact of a partner.
type Contact struct {
	FirstName string `json:"firstName"`
	LastName  string `json:"lastName"`
	Email     string `json:"email"`
	Phone     string `json:"phone"`
}

// Support is where a partner's customers find help.
type Support struct {
	Email   string `json:"email"`
	Phone   string `json:"phone"`
	Website string `json:"website"`
}

// Profile is what is verified of a partner, and its support profile.
type Profile struct {
	LegalName      string  `json:"legalName"`
	RegistrationID string  `json:"registrationId,omitempty"`
	Website        string  `json:"website,omitempty"`
	Address        Address `json:"address"`
	Contact        Contact `json:"contact"`
	Support        Support `json:"support"`
}
