package region

import "testing"

func TestStates(t *testing.T) {
	t.Parallel()
	for country, want := range map[string]int{"US": 56, "CA": 13, "MX": 32, "CN": 31, "IT": 0, "us": 56} {
		all := States(country)
		if len(all) != want {
			t.Errorf("%s has %d states, want %d", country, len(all), want)
		}
		for i, s := range all {
			if s.Code == "" || s.Name == "" || i > 0 && all[i-1].Name >= s.Name {
				t.Errorf("%s: %+v", country, s)
			}
		}
	}
	for _, s := range []string{"ON", "on", "Ontario", " ontario "} {
		if got, ok := FindState("CA", s); !ok || got.Code != "ON" {
			t.Errorf("%q reads %+v", s, got)
		}
	}
	for country, s := range map[string]string{"US": "ON", "IT": "RM", "CA": ""} {
		if _, ok := FindState(country, s); ok {
			t.Errorf("%s has no state %q", country, s)
		}
	}
	it, _ := Find("IT")
	ae, _ := Find("AE")
	if !it.PostcodeRequired() || ae.PostcodeRequired() {
		t.Error("postal codes")
	}
}
