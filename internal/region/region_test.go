package region

import "testing"

func TestTable(t *testing.T) {
	t.Parallel()
	n := 0
	for _, r := range All() {
		if r.Code == "" || r.Name == "" || len(r.Countries) == 0 {
			t.Errorf("region %+v is not whole", r)
		}
		for _, c := range r.Countries {
			n++
			if len(c.Code) != 2 || len(c.Currency) != 3 || c.Name == "" || c.Region != r.Code {
				t.Errorf("country %+v is not whole", c)
			}
		}
	}
	if n != len(countries) || n < 240 {
		t.Errorf("%d countries in regions, %d by code", n, len(countries))
	}
	it, ok := Find("it")
	if !ok || it.Region != "EUROPE" || it.Currency != "EUR" || !it.Open {
		t.Errorf("Italy reads %+v", it)
	}
	br, _ := Find("BR")
	if !br.RegistrationIDRequired || br.Region != "BRAZIL" {
		t.Errorf("Brazil reads %+v", br)
	}
	if _, ok := Find("ZZ"); ok {
		t.Error("ZZ is no country")
	}
	if _, ok := ByCode("EUROPE"); !ok {
		t.Error("EUROPE is missing")
	}
}
