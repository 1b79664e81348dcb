package app_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/png"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// applicantPassword is what the stories' newcomers choose.
const applicantPassword = "velvet tractor lagoon 41"

// stages are how far doEnroll goes.
var stages = []string{"account", "draft", "submitted", "review"}

// doEnroll takes a company on its way into the programme through the real
// doors: STAGE EMAIL [name=…] [country=…] [contact=ADDRESS]. Its future Global
// admin has an account then ("account"), a draft that lacks nothing ("draft"),
// has handed it in ("submitted"), and the contact has said yes ("review", the mails that
// say so are read). The Global admin acts afterwards; $enrollment is the id, $contact the contact's
// address, $code that of the last link.
func (s *story) doEnroll(ts *testscript.TestScript, _ bool, args []string) error {
	stage, email := slices.Index(stages, args[0]), args[1]
	m, err := pairs(ts, args[2:])
	if err != nil {
		return err
	}
	_, domain, ok := strings.Cut(email, "@")
	if stage < 0 || !ok {
		return fmt.Errorf("%s is no stage, or %s no address", args[0], email)
	}
	label, _, _ := strings.Cut(domain, ".")
	country, name := word(m, "country", "IT"), word(m, "name", strings.ToUpper(label[:1])+label[1:]+" Informatica")
	contact := word(m, "contact", "irene.sartori@"+domain)
	ts.Setenv("contact", contact)

	say := func(operation string, words ...string) error {
		return s.doGraphQL(ts, false, append([]string{operation}, words...))
	}
	if err := s.doAs(ts, false, []string{"nobody"}); err != nil {
		return err
	}
	if err := say("startEnrollment", "email="+email, "domain="+domain, "country="+country, "locale=en"); err != nil {
		return err
	}
	if err := s.doMail(ts, false, []string{"to=" + email, "subject=Begin the enrollment"}); err != nil {
		return err
	}
	if err := s.follow(ts, "/l/enroll", "password="+applicantPassword); err != nil {
		return err
	}
	if err := s.doAs(ts, false, []string{email, "password=" + applicantPassword}); err != nil {
		return err
	}
	if err := say("currentEnrollment"); err != nil {
		return err
	}
	if err := s.doCapture(ts, false, []string{"enrollment", "currentEnrollment.id"}); err != nil || stage == 0 {
		return err
	}
	id := "id=" + ts.Getenv("enrollment")
	parts := map[string]any{
		"legal":   map[string]any{"name": name, "website": "https://www." + domain, "address": map[string]any{"line1": "Via Garibaldi 7", "city": "Verona", "postalCode": "37121"}},
		"contact": map[string]any{"firstName": "Irene", "lastName": "Sartori", "email": contact, "phone": "+39 045 555 0400"},
		"support": map[string]any{"email": "help@" + domain, "phone": "+39 045 555 0401", "website": "https://help." + domain},
	}
	words := []string{id}
	for field, v := range parts {
		raw, err := json.Marshal(v)
		if err != nil {
			return err
		}
		words = append(words, field+":="+string(raw))
	}
	if err := say("saveEnrollment", words...); err != nil || stage == 1 {
		return err
	}
	if err := say("submitEnrollment", id); err != nil {
		return err
	}
	if err := s.doMail(ts, false, []string{"to=" + contact, "subject=confirm that your company signed up"}); err != nil || stage == 2 {
		return err
	}
	if err := s.doAs(ts, false, []string{"nobody"}); err != nil {
		return err
	}
	if err := s.follow(ts, "/l/verify", ""); err != nil {
		return err
	}
	if err := s.doSubmit(ts, false, []string{"confirm"}); err != nil {
		return err
	}
	if s.page.path != "/l/verify/confirmed" {
		return fmt.Errorf("confirming led to %s: %s", s.page.path, s.page.text)
	}
	for _, reader := range []string{contact, email} {
		if err := s.doMail(ts, false, []string{"to=" + reader, "subject=review has begun"}); err != nil {
			return err
		}
	}
	if err := s.doSettle(ts, false, nil); err != nil {
		return err
	}
	return s.doAs(ts, false, []string{email})
}

// follow opens the page of the code of the last mail, and where a form is to
// be filled in, sends it.
func (s *story) follow(ts *testscript.TestScript, path, field string) error {
	if err := s.doVisit(ts, false, []string{path}); err != nil {
		return err
	}
	if err := s.doSubmit(ts, false, []string{"preview", "code=" + ts.Getenv("code")}); err != nil || field == "" {
		return err
	}
	if err := s.doSubmit(ts, false, []string{path, field}); err != nil {
		return err
	}
	if s.last.url.Path != "/sign-in" {
		return fmt.Errorf("%s led to %s: %s", path, s.last.url, s.page.text)
	}
	return nil
}

// doUpload uploads a small picture, or a file of the story: VARIABLE [NAME]
// [@file] [purpose=…]; the file's id becomes the variable.
func (s *story) doUpload(ts *testscript.TestScript, _ bool, args []string) error {
	var picture bytes.Buffer
	if err := png.Encode(&picture, image.NewGray(image.Rect(0, 0, 2, 2))); err != nil {
		return err
	}
	name, purpose, content := "extract.png", "ENROLLMENT_EVIDENCE", picture.Bytes()
	for _, a := range args[1:] {
		if file, ok := strings.CutPrefix(a, "@"); ok {
			content = []byte(ts.ReadFile(file))
		} else if p, ok := strings.CutPrefix(a, "purpose="); ok {
			purpose = p
		} else {
			name = a
		}
	}
	a, err := s.send(s.who, http.MethodPost, "/files?purpose="+purpose+"&name="+url.QueryEscape(name), bytes.NewReader(content),
		http.Header{"Content-Type": {"application/octet-stream"}, "Accept": {"application/json"}})
	if err != nil {
		return err
	}
	s.last = a
	if a.status != http.StatusCreated {
		return errors.New("the upload answered " + string(a.body))
	}
	return s.doCapture(ts, false, []string{args[0], "id"})
}

// doMoment keeps a moment so far ahead on the product's clock: VARIABLE 60d.
func (s *story) doMoment(ts *testscript.TestScript, _ bool, args []string) error {
	a, err := s.send(s.person("nobody"), http.MethodGet, "/dev/clock", nil, http.Header{"Accept": {"application/json"}})
	if err != nil {
		return err
	}
	var clock struct{ Now time.Time }
	if err := json.Unmarshal(a.body, &clock); err != nil {
		return err
	}
	ahead, err := time.ParseDuration(hours(args[1]))
	if err == nil {
		ts.Setenv(args[0], clock.Now.Add(ahead).UTC().Format(time.RFC3339))
	}
	return err
}
