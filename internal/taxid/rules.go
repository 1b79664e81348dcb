package taxid

import (
	"regexp"
	"strconv"
	"strings"
)

// shaped is a kind of number by its shape alone, or also by its check digits.
func shaped(shape string, ok ...func(string) bool) kind {
	k := kind{shape: regexp.MustCompile(`^(?:` + shape + `)$`)}
	if len(ok) > 0 {
		k.ok = ok[0]
	}
	return k
}

// as gives a kind another form for comparison.
func (k kind) as(canon func(string) string) kind {
	k.canon = canon
	return k
}

// digit is the value of a digit.
func digit(c byte) int { return int(c - '0') }

// value is a number of at most 18 digits; shapes bound them.
func value(n string) int {
	v, _ := strconv.Atoi(n)
	return v
}

// sum adds the digits of a number by their weights.
func sum(n string, weights ...int) (s int) {
	for i, w := range weights {
		s += w * digit(n[i])
	}
	return s
}

// luhn is the check of ISO 7812: every second digit from the right doubled.
func luhn(n string) bool {
	s := 0
	for i := range len(n) {
		d := digit(n[len(n)-1-i])
		if i%2 == 1 {
			d *= 2
		}
		s += d/10 + d%10
	}
	return s%10 == 0
}

// mod1110 is the check of ISO 7064 MOD 11,10.
func mod1110(n string) bool {
	p := 10
	for i := range len(n) - 1 {
		if p = (p + digit(n[i])) % 10; p == 0 {
			p = 10
		}
		p = p * 2 % 11
	}
	return (p+digit(n[len(n)-1]))%10 == 1
}

// mod97 is the remainder of ISO 7064 MOD 97-10, letters counting from 10.
func mod97(n string) (r int) {
	for _, c := range n {
		if c >= 'A' {
			r = (r*100 + int(c-'A') + 10) % 97
		} else {
			r = (r*10 + int(c-'0')) % 97
		}
	}
	return r
}

func last(n string) int                  { return digit(n[len(n)-1]) }
func padded(n string, length int) string { return strings.Repeat("0", length-len(n)) + n }
func pad(length int) func(string) string { return func(n string) string { return padded(n, length) } }
func cut(from, to int) func(string) string {
	return func(n string) string { return n[from:to] }
}
func with(prefix string) func(string) string {
	return func(n string) string { return prefix + strings.TrimPrefix(n, prefix) }
}

// dated reports whether six digits can be a date of birth, with what some
// countries add to the month.
func dated(n string, month func(m int) int, day, mon int) bool {
	d, m := value(n[day:day+2]), month(value(n[mon:mon+2]))
	return d >= 1 && d <= 31 && m >= 1 && m <= 12
}

var countries = map[string]country{
	// ---- The VAT area of the EU

	"AT": {[]string{"AT"}, []kind{
		shaped(`U\d{8}`, func(n string) bool {
			s := 4
			for i := range 7 {
				d := digit(n[i+1]) * (1 + i%2)
				s += d/10 + d%10
			}
			return (s+last(n))%10 == 0
		}),
		shaped(`(FN)?\d{1,6}[A-Z]`).as(with("FN")), // company register
	}},
	"BE": {[]string{"BE"}, []kind{
		shaped(`[01]?\d{9}`, func(n string) bool {
			n = padded(n, 10)
			return value(n[:8]) > 0 && 97-value(n[:8])%97 == value(n[8:])
		}).as(pad(10)),
	}},
	"BG": {[]string{"BG"}, []kind{
		shaped(`\d{9}`, func(n string) bool {
			s := sum(n, 1, 2, 3, 4, 5, 6, 7, 8) % 11
			if s == 10 {
				s = sum(n, 3, 4, 5, 6, 7, 8, 9, 10) % 11 % 10
			}
			return s == last(n)
		}),
		shaped(`\d{10}`, func(n string) bool {
			born := dated(n, func(m int) int { return (m-1)%20 + 1 }, 4, 2) && value(n[2:4]) <= 52 && sum(n, 2, 4, 8, 5, 10, 9, 7, 3, 6)%11%10 == last(n)
			foreign := sum(n, 21, 19, 17, 13, 11, 9, 7, 3, 1)%10 == last(n)
			other := (11-sum(n, 4, 3, 2, 7, 6, 5, 4, 3, 2)%11)%11 == last(n)
			return born || foreign || other
		}),
	}},
	"CY": {[]string{"CY"}, []kind{
		shaped(`\d{8}[A-Z]`, func(n string) bool {
			s := 0
			for i := range 8 {
				if i%2 == 0 {
					s += []int{1, 0, 5, 7, 9, 13, 15, 17, 19, 21}[digit(n[i])]
				} else {
					s += digit(n[i])
				}
			}
			return n[:2] != "12" && byte('A'+s%26) == n[8]
		}),
		shaped(`(HE|ΗΕ|C)\d{1,6}`).as(func(n string) string { return "HE" + strings.TrimLeft(n, "HEΗΕC") }), // company register
	}},
	"CZ": {[]string{"CZ"}, []kind{
		shaped(`[0-8]\d{7}`, ico),
		shaped(`6\d{8}`, func(n string) bool { // persons without a birth number
			return (18-(10-sum(n[1:], 8, 7, 6, 5, 4, 3, 2)%11))%10 == last(n)
		}),
		shaped(`\d{9,10}`, birthNumber),
	}},
	"DE": {[]string{"DE"}, []kind{
		shaped(`[1-9]\d{8}`, mod1110),
		shaped(`(HRA|HRB|GNR|GSR|PR|VR)\d{1,6}[A-Z]{0,3}`), // registers of the courts
	}},
	"DK": {[]string{"DK", "CVR"}, []kind{
		shaped(`[1-9]\d{7}`, func(n string) bool { return sum(n, 2, 7, 6, 5, 4, 3, 2, 1)%11 == 0 }),
	}},
	"EE": {[]string{"EE"}, []kind{
		shaped(`\d{9}`, func(n string) bool { return sum(n, 3, 7, 1, 3, 7, 1, 3, 7, 1)%10 == 0 }),
		shaped(`[1789]\d{7}`, func(n string) bool { // company register
			s := sum(n, 1, 2, 3, 4, 5, 6, 7) % 11
			if s == 10 {
				s = sum(n, 3, 4, 5, 6, 7, 8, 9) % 11 % 10
			}
			return s == last(n)
		}),
	}},
	"ES": {[]string{"ES"}, []kind{
		shaped(`[A-HJNP-SUVW]\d{7}[0-9A-J]`, func(n string) bool { // companies
			s := 0
			for i := range 7 {
				d := digit(n[i+1]) * (2 - i%2)
				s += d/10 + d%10
			}
			check := (10 - s%10) % 10
			return n[8] == "JABCDEFGHI"[check] || digit(n[8]) == check // by the legal form; sources differ on some
		}),
		shaped(`[0-9KLMXYZ]\d{7}[A-Z]`, func(n string) bool { // persons
			s := n[:8]
			switch s[0] {
			case 'K', 'L', 'M', 'X':
				s = "0" + s[1:]
			case 'Y':
				s = "1" + s[1:]
			case 'Z':
				s = "2" + s[1:]
			}
			return n[8] == "TRWAGMYFPDXBNJZSQVHLCKE"[value(s)%23]
		}),
	}},
	"FI": {[]string{"FI"}, []kind{
		shaped(`\d{8}`, func(n string) bool { return n != "00000000" && sum(n, 7, 9, 10, 5, 8, 4, 2, 1)%11 == 0 }),
	}},
	"FR": {[]string{"FR"}, []kind{
		shaped(`[0-9A-HJ-NP-Z]{2}\d{9}`, frenchKey).as(func(n string) string {
			if siren(n[2:]) {
				return n[2:]
			}
			return n // Monaco's
		}),
		shaped(`\d{9}`, siren),
		shaped(`\d{14}`, func(n string) bool { // an establishment; La Poste's are counted otherwise
			if n[:9] == "356000000" && n[9:] != "00048" {
				return sum(n, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1)%5 == 0
			}
			return siren(n[:9]) && luhn(n)
		}).as(cut(0, 9)),
	}},
	"GR": {[]string{"EL", "GR"}, []kind{
		shaped(`\d{8,9}`, func(n string) bool {
			n = padded(n, 9)
			return n != "000000000" && sum(n, 256, 128, 64, 32, 16, 8, 4, 2)%11%10 == last(n)
		}).as(pad(9)),
		shaped(`\d{12}`), // company register
	}},
	"HR": {[]string{"HR"}, []kind{
		shaped(`\d{11}`, mod1110),
	}},
	"HU": {[]string{"HU"}, []kind{
		shaped(`\d{8}`, hungarian),
		shaped(`\d{8}[1-5]\d{2}`, hungarian).as(cut(0, 8)), // tax number: kind of VAT and county behind
		shaped(`(0[1-9]|1\d|20)\d{8}`),                     // company register
	}},
	"IE": {[]string{"IE"}, []kind{
		shaped(`\d{7}[A-W][A-IW]?`, func(n string) bool { return irish(n[:7]+n[8:]) == n[7] }),
		shaped(`[7-9][A-Z+*]\d{5}[A-W]`, func(n string) bool { return irish("0"+n[2:7]+n[:1]) == n[7] }),
		shaped(`\d{5,6}`), // company register
	}},
	"IT": {[]string{"IT"}, []kind{
		shaped(`\d{11}`, func(n string) bool {
			office := value(n[7:10])
			return n[:7] != "0000000" && (office >= 1 && office <= 100 || office == 120 || office == 121 || office == 888 || office == 999) && luhn(n)
		}),
	}},
	"LT": {[]string{"LT"}, []kind{
		shaped(`\d{9}`, lithuanian), // also the company register's
		shaped(`\d{10}1\d`, lithuanian),
	}},
	"LU": {[]string{"LU"}, []kind{
		shaped(`\d{8}`, func(n string) bool { return n != "00000000" && value(n[:6])%89 == value(n[6:]) }),
		shaped(`[A-Z]\d{1,6}`), // company register
	}},
	"LV": {[]string{"LV"}, []kind{
		shaped(`[4-9]\d{10}`, func(n string) bool { return sum(n, 9, 1, 4, 8, 3, 10, 2, 5, 7, 6, 1)%11 == 3 }),
		shaped(`[0-3]\d{10}`, func(n string) bool { // persons
			born := n[:2] == "32" || dated(n, func(m int) int { return m }, 0, 2)
			return born && (1+sum(n, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9))%11%10 == last(n)
		}),
	}},
	"MT": {[]string{"MT"}, []kind{
		shaped(`[1-9]\d{7}`, func(n string) bool { return sum(n, 3, 4, 6, 7, 8, 9, 10, 1)%37 == 0 }),
		shaped(`(C|OC|P|SE)\d{1,6}`), // company register
	}},
	"NL": {[]string{"NL"}, []kind{
		shaped(`\d{9}B\d{2}`, func(n string) bool {
			eleven := value(n[:9]) > 0 && (sum(n, 9, 8, 7, 6, 5, 4, 3, 2)-digit(n[8]))%11 == 0
			return n[10:] != "00" && (eleven || mod97("NL"+n) == 1)
		}),
		shaped(`\d{8}`), // company register
	}},
	"PL": {[]string{"PL"}, []kind{
		shaped(`[1-9]\d{9}`, func(n string) bool { return sum(n, 6, 5, 7, 2, 3, 4, 5, 6, 7)%11 == last(n) }),
		shaped(`0\d{9}`), // company register
		shaped(`\d{9}`, regon),
		shaped(`\d{14}`, func(n string) bool {
			return regon(n[:9]) && sum(n, 2, 4, 8, 5, 0, 9, 7, 3, 6, 1, 2, 4, 8)%11%10 == last(n)
		}).as(cut(0, 9)),
	}},
	"PT": {[]string{"PT"}, []kind{
		shaped(`[1-9]\d{8}`, func(n string) bool { return (11-sum(n, 9, 8, 7, 6, 5, 4, 3, 2)%11)%11%10 == last(n) }),
	}},
	"RO": {[]string{"RO"}, []kind{
		shaped(`[1-9]\d{1,9}`, func(n string) bool {
			return sum(padded(n, 10), 7, 5, 3, 2, 1, 7, 5, 3, 2)*10%11%10 == last(n)
		}),
		shaped(`[JFC]\d{7,13}`), // company register
	}},
	"SE": {[]string{"SE"}, []kind{
		shaped(`\d{12}`, func(n string) bool { return n[10:] != "00" && luhn(n[:10]) }).as(cut(0, 10)), // VAT: the company's number and a count
		shaped(`\d{10}`, luhn),
	}},
	"SI": {[]string{"SI"}, []kind{
		shaped(`[1-9]\d{7}`, func(n string) bool {
			check := 11 - sum(n, 8, 7, 6, 5, 4, 3, 2)%11
			return check != 11 && check%10 == last(n)
		}),
		shaped(`\d{7}(000)?`, slovene).as(cut(0, 7)), // company register
	}},
	"SK": {[]string{"SK"}, []kind{
		shaped(`[1-9]\d[2-47-9]\d{7}`, func(n string) bool { return value(n)%11 == 0 }),
		shaped(`\d{9,10}`, birthNumber),
		shaped(`\d{8}`, ico),
	}},

	// ---- Outside

	"CH": {[]string{}, []kind{
		shaped(`CHE\d{9}(MWST|TVA|IVA|TPV|VAT|HR)?`, func(n string) bool {
			return (sum(n[3:], 5, 4, 3, 2, 7, 6, 5, 4)+digit(n[11]))%11 == 0
		}).as(cut(0, 12)),
	}},
	"GB": {[]string{"GB", "XI"}, []kind{
		shaped(`\d{9}(\d{3})?`, func(n string) bool {
			r := (sum(n, 8, 7, 6, 5, 4, 3, 2) + value(n[7:9])) % 97
			return value(n[:9]) > 0 && (r == 0 || n[:3] >= "100" && (r == 42 || r == 55))
		}).as(cut(0, 9)),
		shaped(`GD[0-4]\d{2}|HA[5-9]\d{2}`), // departments, health authorities
		// Companies House: England and Wales without letters, others with.
		shaped(`\d{6,8}`, func(n string) bool { return value(n) > 0 }).as(pad(8)),
		shaped(`(AC|CE|CS|FC|FE|GE|GN|GS|IC|IP|LP|NA|NC|NF|NI|NL|NO|NP|NR|NV|NZ|OC|OE|PC|RC|RS|SA|SC|SE|SF|SG|SI|SL|SO|SP|SR|SZ|ZC)\d{6}|R0?\d{6}|R\d{7}`),
	}},
	"US": {[]string{"EIN", "US"}, []kind{
		shaped(`(0[1-6]|1[0-6]|2[0-7]|3[0-9]|4[0-8]|5[0-9]|6[0-8]|7[1-7]|8[0-8]|9[0-589])\d{7}`), // EIN: prefixes that the IRS gives out
	}},
}

// ico is the check of Czech and Slovak company numbers.
func ico(n string) bool {
	check := (11 - sum(n, 8, 7, 6, 5, 4, 3, 2)%11) % 11
	if check == 0 {
		check = 1
	}
	return check%10 == last(n)
}

// birthNumber is the check of Czech and Slovak birth numbers, by which sole
// traders are known; those of nine digits are from before 1954 and have none.
func birthNumber(n string) bool {
	year := value(n[:2])
	if !dated(n, func(m int) int {
		m %= 50
		if m > 20 && len(n) == 10 && (year >= 4 && year < 54) {
			m -= 20
		}
		return m
	}, 4, 2) {
		return false
	}
	if len(n) == 9 {
		return year <= 53
	}
	return value(n[:9])%11%10 == last(n)
}

// siren is the check of French company numbers.
func siren(n string) bool { return n != "000000000" && luhn(n) }

// frenchKey is the check of a French VAT number: a company number behind a
// key of two digits, or of two characters in the newer form. Monaco's hold no
// French company number.
func frenchKey(n string) bool {
	const alphabet = "0123456789ABCDEFGHJKLMNPQRSTUVWXYZ"
	if n[2:5] != "000" && !siren(n[2:]) {
		return false
	}
	if n[0] <= '9' && n[1] <= '9' {
		return value(n[2:]+"12")%97 == value(n[:2])
	}
	key := strings.IndexByte(alphabet, n[0])*34 + strings.IndexByte(alphabet, n[1]) - 100
	if n[0] <= '9' {
		key = strings.IndexByte(alphabet, n[0])*24 + strings.IndexByte(alphabet, n[1]) - 10
	}
	return (value(n[2:])+1+key/11)%11 == key%11
}

func hungarian(n string) bool { return n[:8] != "00000000" && sum(n, 9, 7, 3, 1, 9, 7, 3, 1)%10 == 0 }

// irish is the check letter of seven digits and the letter that may follow.
func irish(n string) byte {
	const alphabet = "WABCDEFGHIJKLMNOPQRSTUV"
	s := sum(n, 8, 7, 6, 5, 4, 3, 2)
	if len(n) > 7 {
		s += 9 * strings.IndexByte(alphabet, n[7])
	}
	return alphabet[s%23]
}

func lithuanian(n string) bool {
	check := func(shift int) (s int) {
		for i := range len(n) - 1 {
			s += (1 + (i+shift)%9) * digit(n[i])
		}
		return s % 11
	}
	s := check(0)
	if s == 10 {
		s = check(2) % 10
	}
	return s == last(n)
}

func regon(n string) bool { return sum(n, 8, 9, 2, 3, 4, 5, 6, 7)%11%10 == last(n[:9]) }

func slovene(n string) bool {
	check := 11 - sum(n, 7, 6, 5, 4, 3, 2)%11
	return check != 11 && check%10 == digit(n[6])
}
