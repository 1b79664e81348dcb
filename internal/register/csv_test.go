package register

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/channelgraph/channelgraph/internal/sheet"
)

const head = "user_name,password,programme_id,legal_name,country"

// problems tells what is wrong with a file as line, column and code.
func problems(kind ImportKind, content string) string {
	_, f := parse(kind, []byte(content))
	var out []string
	for _, p := range f.Kept {
		if !slices.Contains(ProblemCodes, p.Code) {
			out = append(out, "an unlisted code:")
		}
		out = append(out, strings.TrimSpace(fmt.Sprintf("%d %s %s", p.Line, p.Column, p.Code)))
	}
	return strings.Join(out, ", ")
}

func TestForms(t *testing.T) {
	t.Parallel()
	plain := head + "\nanna,Segreta 2026!,1234567,\"Rossi, Bianchi S.r.l.\",IT\n"
	for name, content := range map[string]string{
		"plain":                plain,
		"CRLF":                 strings.ReplaceAll(plain, "\n", "\r\n"),
		"byte order mark":      "\ufeff" + plain,
		"no last line end":     strings.TrimRight(plain, "\n"),
		"semicolons":           "user_name;password;programme_id;legal_name;country\nanna;Segreta 2026!;1234567;Rossi, Bianchi S.r.l.;it\n",
		"quoted header":        "\"user_name\";\"password\";\"programme_id\";\"legal_name\";\"country\"\n\"anna\";\"Segreta 2026!\";1234567;\"Rossi, Bianchi S.r.l.\";IT\n",
		"header in other case": "Country,LEGAL NAME, Programme ID ,Password,User Name\nIT,\"Rossi, Bianchi S.r.l.\",1234567,Segreta 2026!,anna\n",
		"empty lines":          "\n" + head + "\n\n\r\n,,,,\nanna,Segreta 2026!,1234567,\"Rossi, Bianchi S.r.l.\",IT\n\n,,,,\n",
		"spaces around":        head + "\n  anna ,Segreta 2026!, 1234567 ,\" Rossi,  Bianchi S.r.l. \", IT \n",
	} {
		e, f := parse(Memberships, []byte(content))
		if f.Count > 0 || len(e.memberships) != 1 {
			t.Errorf("%s: %s", name, problems(Memberships, content))
			continue
		}
		m, c := e.memberships[0], e.credentials[0]
		if m.UserName != "anna" || m.ProgrammeID != "1234567" || m.LegalName != "Rossi, Bianchi S.r.l." || m.Country != "IT" || !m.Active || m.Enrolled || c.password != "Segreta 2026!" {
			t.Errorf("%s: read %+v and %q", name, m, c.password.Reveal())
		}
	}
}

// Every kind of bad file, with the line, the column and the code of each
// problem.
func TestBadFiles(t *testing.T) {
	t.Parallel()
	const good = "anna,Segreta 2026!,1234567,Rossi,IT\n"
	hash := "$argon2id$v=19$m=65536,t=3,p=1$c2FsdHNhbHRzYWx0c2Fs$c2FsdHNhbHRzYWx0c2FsdHNhbHRzYWx0c2FsdHNhbHQ"
	for name, c := range map[string]struct {
		content, want string
	}{
		"nothing":                   {"", "0  CSV_NO_LINES"},
		"a byte order mark alone":   {"\ufeff", "0  CSV_NO_LINES"},
		"line ends alone":           {"\n\r\n\n", "0  CSV_NO_LINES"},
		"a header alone":            {head + "\n", "0  CSV_NO_LINES"},
		"only empty lines":          {head + "\n,,,,\n", "0  CSV_NO_LINES"},
		"UTF-16":                    {"\xff\xfeu\x00s\x00", "1  FILE_NOT_TEXT"},
		"zero bytes":                {head + "\nan\x00na", "2  FILE_NOT_TEXT"},
		"Latin-1":                   {head + "\n" + good + "Citt\xe0,x,1234568,R,IT\n", "3  FILE_NOT_TEXT"},
		"no header":                 {good, "1 anna COLUMN_UNKNOWN, 1 Segreta 2026! COLUMN_UNKNOWN, 1 1234567 COLUMN_UNKNOWN, 1 Rossi COLUMN_UNKNOWN, 1 IT COLUMN_UNKNOWN, 1 user_name COLUMN_MISSING, 1 programme_id COLUMN_MISSING, 1 legal_name COLUMN_MISSING, 1 country COLUMN_MISSING"},
		"an unknown column":         {head + ",pasword\n" + good, "1 pasword COLUMN_UNKNOWN"},
		"a nameless column":         {head + ",\n" + good, "1  COLUMN_UNKNOWN"},
		"a formula for a column":    {head + ",=1+1\u202e\n" + good, "1 ? COLUMN_UNKNOWN"},
		"an endless column":         {head + "," + strings.Repeat("x", 1000) + "\n" + good, "1 " + strings.Repeat("x", 40) + "… COLUMN_UNKNOWN"},
		"a column twice":            {head + ",Country\n" + good, "1 country COLUMN_TWICE"},
		"a column missing":          {"user_name,password,legal_name,country\n", "1 programme_id COLUMN_MISSING"},
		"tabs":                      {strings.ReplaceAll(head, ",", "\t") + "\n", "1 ? COLUMN_UNKNOWN, 1 user_name COLUMN_MISSING, 1 programme_id COLUMN_MISSING, 1 legal_name COLUMN_MISSING, 1 country COLUMN_MISSING"},
		"a cell too many":           {head + "\nanna,x,1234567,Rossi,IT,\n" + good, "2  CELLS_DIFFER"},
		"a cell too few":            {head + "\nanna,x,1234567,Rossi\n", "2  CELLS_DIFFER"},
		"other separator below":     {head + "\nanna;x;1234567;Rossi;IT\n", "2  CELLS_DIFFER"},
		"a quote inside":            {head + "\nan\"na,x,1234567,Rossi,IT\n" + good, "2  CSV_MALFORMED"},
		"a quote that does not end": {head + "\n" + good + "\"anna,x,1234567,Rossi,IT\n" + good, "3  CSV_MALFORMED"},
		"text after a quote":        {head + "\n\"anna\"x,x,1234567,Rossi,IT\n", "2  CSV_MALFORMED"},
		"the header's quote":        {"\"user_name\n", "0  CSV_MALFORMED"},
		"lines are the file's":      {head + "\n\n\"an\nna\",x,1234567,Rossi,IT\n,x,1234567,Rossi,IT\n", "3 user_name CONTROL_CHARACTERS, 5 user_name REQUIRED"},
		"everything empty but one":  {head + "\n,,,,IT\n", "2 user_name REQUIRED, 2 programme_id REQUIRED, 2 legal_name REQUIRED"},
		"everything wrong at once": {head + ",active,enrolled,contact_email,state\nan\u202ena,x,0123456," + strings.Repeat("R", 201) + ",XX,maybe,2,anna@,\u200b\n",
			"2 user_name CONTROL_CHARACTERS, 2 legal_name TOO_LONG, 2 country COUNTRY_UNKNOWN, 2 active INVALID, 2 enrolled INVALID, 2 state CONTROL_CHARACTERS, 2 contact_email EMAIL_INVALID, 2 programme_id PROGRAMME_ID_INVALID"},
		"a programme ID of 6":    {head + "\nanna,x,123456,Rossi,IT\n", "2 programme_id PROGRAMME_ID_INVALID"},
		"a programme ID of 8":    {head + "\nanna,x,12345678,Rossi,IT\n", "2 programme_id PROGRAMME_ID_INVALID"},
		"a country by its name":  {head + "\nanna,x,1234567,Rossi,Italy\n", "2 country COUNTRY_UNKNOWN"},
		"a user name of 255":     {head + "\n" + strings.Repeat("a", 255) + ",x,1234567,Rossi,IT\n", "2 user_name TOO_LONG"},
		"a line twice":           {head + "\n" + good + "ANNA,Segreta 2026!,1234567,Rossi,IT\n", "3 programme_id LINE_TWICE"},
		"another password":       {head + "\n" + good + "Anna,Other 2026!!,1234568,Rossi,IT\n", "3 password PASSWORD_DIFFERS"},
		"a password said later":  {head + "\nanna,,1234567,Rossi,IT\nanna,Segreta,1234568,Rossi,IT\nanna,,1234569,Rossi,IT\n", ""},
		"a password of 257":      {head + "\nanna," + strings.Repeat("è", 257) + ",1234567,Rossi,IT\n", "2 password TOO_LONG"},
		"a password with a bell": {head + "\nanna,x\a,1234567,Rossi,IT\n", "2 password CONTROL_CHARACTERS"},
		"password and hash":      {head + ",password_hash\nanna,x,1234567,Rossi,IT,\"" + hash + "\"\n", "2 password PASSWORD_TWICE"},
		"a hash":                 {head + ",password_hash\nanna,,1234567,Rossi,IT,\"" + hash + "\"\n", ""},
		"bcrypt":                 {head + ",password_hash\nanna,,1234567,Rossi,IT,$2b$12$abcdefghijklmnopqrstuv\n", "2 password_hash PASSWORD_HASH_INVALID"},
		"argon2i":                {head + ",password_hash\nanna,,1234567,Rossi,IT,\"" + strings.Replace(hash, "argon2id", "argon2i", 1) + "\"\n", "2 password_hash PASSWORD_HASH_INVALID"},
		"a hash of 4 GiB":        {head + ",password_hash\nanna,,1234567,Rossi,IT,\"" + strings.Replace(hash, "m=65536", "m=4194304", 1) + "\"\n", "2 password_hash PASSWORD_HASH_INVALID"},
		"a hash of 1000 passes":  {head + ",password_hash\nanna,,1234567,Rossi,IT,\"" + strings.Replace(hash, "t=3", "t=1000", 1) + "\"\n", "2 password_hash PASSWORD_HASH_INVALID"},
		"a hash without salt":    {head + ",password_hash\nanna,,1234567,Rossi,IT,\"" + strings.Replace(hash, "c2FsdHNhbHRzYWx0c2Fs$", "$", 1) + "\"\n", "2 password_hash PASSWORD_HASH_INVALID"},
		"a formula is only text": {head + "\n=cmd|'/c calc'!A0,@x,1234567,+Rossi,IT\n", ""},
	} {
		want := strings.ReplaceAll(c.want, "  ", " ")
		if got := strings.ReplaceAll(problems(Memberships, c.content), "  ", " "); got != want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, want)
		}
	}
}

func TestBadCompanies(t *testing.T) {
	t.Parallel()
	const head = "country;registration_id;legal_name;status\n"
	for name, c := range map[string]struct{ content, want string }{
		"good":              {head + "IT;00743110157;Rossi S.p.A.;\nDE;DE136695976;Müller GmbH;dissolved\nFR;552 008 443;Amazon.com SARL;Active\n", ""},
		"the same number":   {head + "IT;00743110157;Rossi;\nit;IT 007431 10157;Rossi 2;\n", "3 registration_id LINE_TWICE"},
		"of another one":    {head + "IT;12345;Rossi;\nDE;12345;Rossi;\n", ""},
		"nothing of it":     {head + "IT;;;\n", "2 registration_id REQUIRED, 2 legal_name REQUIRED"},
		"signs alone":       {head + "IT;---;Rossi;\n", "2 registration_id REGISTRATION_ID_INVALID"},
		"a number of 51":    {head + "IT;" + strings.Repeat("1", 51) + ";Rossi;\n", "2 registration_id TOO_LONG"},
		"an unknown status": {head + "IT;00743110157;Rossi;merged\n", "2 status STATUS_INVALID"},
		"an unknown land":   {head + "ZZ;00743110157;Rossi;\n", "2 country COUNTRY_UNKNOWN"},
		"memberships":       {"user_name;programme_id;legal_name;country\nanna;1234567;R;IT\n", "1 user_name COLUMN_UNKNOWN, 1 programme_id COLUMN_UNKNOWN, 1 registration_id COLUMN_MISSING"},
	} {
		if got := problems(Companies, c.content); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, c.want)
		}
	}
}

// The list of problems is bounded, their count is not; neither are more lines
// read than may stand in a file.
func TestBounds(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString(head + "\n")
	for range sheet.MaxLines + 2 {
		b.WriteString("anna,,1,Rossi,IT\n")
	}
	e, f := parse(Memberships, []byte(b.String()))
	if len(e.memberships) != sheet.MaxLines || len(f.Kept) != sheet.MaxProblems || f.Count != 2*sheet.MaxLines {
		t.Errorf("%d lines, %d problems kept of %d", len(e.memberships), len(f.Kept), f.Count)
	}
	b.Reset()
	b.WriteString("country,registration_id,legal_name\n")
	for n := range sheet.MaxLines {
		fmt.Fprintf(&b, "IT,%d,Rossi\n", 1_000_000+n)
	}
	if e, f := parse(Companies, []byte(b.String())); f.Count > 0 || len(e.companies) != sheet.MaxLines {
		t.Errorf("%d lines with %d problems", len(e.companies), f.Count)
	}
	if got := problems(Companies, b.String()+"IT,1,Rossi\n"); got != fmt.Sprintf("%d  CSV_TOO_MANY_LINES", sheet.MaxLines+2) {
		t.Errorf("a line too many: %s", got)
	}
}

func TestPlanned(t *testing.T) {
	t.Parallel()
	entries := []struct {
		key, digest string
		touched     bool
	}{{"a", "1", false}, {"b", "2", false}, {"c", "3", true}, {"d", "4", false}}
	before := map[string]kept{"b": {"", "1"}, "c": {"", "3"}, "d": {"", "4"}, "e": {"", "5"}}
	for mode, want := range map[Mode]string{Merge: "[0] [1 2] 1 []", Replace: "[0] [1 2] 1 [e]"} {
		p := planned(mode, len(entries), func(i int) (string, string, bool) { e := entries[i]; return e.key, e.digest, e.touched }, before)
		if got := fmt.Sprint(p.added, p.changed, p.unchanged, p.removed); got != want {
			t.Errorf("%s: %s, want %s", mode, got, want)
		}
	}
}

// Whatever is uploaded: nothing panics, and a file without problems has
// entries.
func FuzzParse(f *testing.F) {
	for _, s := range []string{head + "\nanna,x,1234567,Rossi,IT\n", "a;b\n\"", "\ufeff", "country,registration_id,legal_name\nIT,1,R"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		for _, kind := range []ImportKind{Memberships, Companies} {
			e, problems := parse(kind, content)
			if problems.Count == 0 && e.lines() == 0 {
				t.Error("nothing was read and nothing said")
			}
			if len(problems.Kept) > problems.Count {
				t.Error("more problems than were counted")
			}
		}
	})
}
