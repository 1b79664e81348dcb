package config

import (
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

const goodKey = "8f1c5b0a97e24d6633be01c9d2a47f5512c86e9b30fd41a7785ee2b6094cd3fa"

func env(pairs ...string) func(string) string {
	m := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		m[Prefix+pairs[i]] = pairs[i+1]
	}
	return func(k string) string { return m[k] }
}

func load(t *testing.T, pairs ...string) *Config {
	t.Helper()
	c, err := Load(env(pairs...), nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

var production = []string{
	"ENV", "production", "PUBLIC_URL", "https://partners.example.com", "DATABASE_URL", "postgres://u:p@db/c", "REDIS_URL", "redis://r:6379",
	"SMTP_URL", "smtp://u:p@mail.example.com", "MAIL_FROM", "Center <center@example.com>", "SECRET_KEY", goodKey, "ADDR", "0.0.0.0:8080",
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	c := load(t)
	if c.Env != Development || !c.IsDevelopment() || c.Role != RoleAll || c.Addr != "127.0.0.1:8080" || c.PublicURL != "http://127.0.0.1:8080" ||
		c.DatabaseURL != "sqlite://data/channelgraph.db" || c.InvitationLife != 30*24*time.Hour || c.WaitingLife != 90*24*time.Hour || c.SudoFor != 15*time.Minute || c.RecipientMonth != 3 || c.Documents != DocumentsOpen || c.TimeZone.String() != "UTC" {
		t.Errorf("got %+v", c)
	}
	if err := c.Check(); err != nil {
		t.Error(err)
	}
	for addr, want := range map[string]string{
		":8080": "http://localhost:8080", "0.0.0.0:9": "http://localhost:9", "[::]:9": "http://localhost:9", "[::1]:9": "http://[::1]:9",
		"localhost:9": "http://localhost:9",
	} {
		if c := load(t, "ADDR", addr); c.PublicURL != want {
			t.Errorf("%s is opened at %s", addr, c.PublicURL)
		}
	}
	if c := load(t, "DATA", "/var/lib/cg/"); c.DatabaseURL != "sqlite:///var/lib/cg/channelgraph.db" {
		t.Errorf("got %s", c.DatabaseURL)
	}
}

func TestFlagsWin(t *testing.T) {
	t.Parallel()
	c, err := Load(env("ADDR", "127.0.0.1:1"), map[string]string{"ADDR": "127.0.0.1:2"})
	if err != nil || c.Addr != "127.0.0.1:2" {
		t.Errorf("got %v, %v", c, err)
	}
	if !Known("ADDR") || Known("addr") || Known("NO_SUCH") || Known(Prefix+"ADDR") {
		t.Error("Known")
	}
}

func TestUnknown(t *testing.T) {
	t.Parallel()
	got := Unknown([]string{"CHANNELGRAPH_SMPT_URL=smtp://x", "CHANNELGRAPH_ADDR=:80", "CHANNELGRAPH_TEST_REDIS=", "CHANNELGRAPH_PORT=1", "HOME=/", "CHANNELGRAPH_", "CHANNELGRAPH_ADRR"})
	if want := "CHANNELGRAPH_ CHANNELGRAPH_ADRR CHANNELGRAPH_SMPT_URL"; strings.Join(got, " ") != want {
		t.Errorf("got %v", got)
	}
}

func TestLoadNamesEverySettingThatCannotBeRead(t *testing.T) {
	t.Parallel()
	bad := []string{
		"ENV", "prod", "ROLE", "boss", "DATABASE_CONNECTIONS", "-1", "CONCURRENCY", "many", "MAIL_RATE", "fast", "TRUSTED_PROXIES", "10.0.0.0/8, nowhere",
		"LOG_LEVEL", "loud", "LOG_FORMAT", "xml", "DOCUMENTS", "closed", "TRACES", "on", "TRACE_RATIO", "NaN", "INVITATION_LIFE", "30", "SESSION_IDLE", "-5m", "SUDO_FOR", "0s", "INVITATIONS_A_DAY", "1.5", "TIME_ZONE", "Local",
	}
	_, err := Load(env(bad...), nil)
	if err == nil {
		t.Fatal("all of it was read")
	}
	for i := 0; i < len(bad); i += 2 {
		if !strings.Contains(err.Error(), Prefix+bad[i]+" ") {
			t.Errorf("%s is not named", bad[i])
		}
	}
	for _, endpoint := range []string{"collector:4318", "ftp://collector", "https://u:secretpass@collector", "http://collector?key=1", "http://%zz"} {
		if err := load(t, "TRACES", "otlp", "OTLP_ENDPOINT", endpoint).Check(); err == nil || strings.Contains(err.Error(), "secretpass") {
			t.Errorf("%s is a collector: %v", endpoint, err)
		}
	}
	if c := load(t, "TRACES", "otlp", "TRACE_RATIO", "0.01"); c.Check() != nil || c.TraceRatio != 0.01 {
		t.Errorf("got %v, %v", c.Check(), c.TraceRatio)
	}
	for url, want := range map[string]string{"": "customers.example", "http://127.0.0.1:8080": "customers.example", "https://partners.contoso.com": "customers.partners.contoso.com"} {
		if c := load(t, "PUBLIC_URL", url); c.TenantDomain != want {
			t.Errorf("with %q tenants are named under %q", url, c.TenantDomain)
		}
	}
	if c := load(t, "TENANT_DOMAIN", "Tenants.Contoso.com"); c.TenantDomain != "tenants.contoso.com" {
		t.Errorf("got %q", c.TenantDomain)
	}
	if c := load(t, "TIME_ZONE", "Europe/Rome"); c.TimeZone.String() != "Europe/Rome" {
		t.Errorf("got %v", c.TimeZone)
	}
	c := load(t, "TRUSTED_PROXIES", "10.0.0.0/8, 192.0.2.7 ,,2001:db8::/32", "MAIL_RATE", "2.5")
	if len(c.TrustedProxies) != 3 || c.TrustedProxies[1].String() != "192.0.2.7/32" || c.MailRate != 2.5 {
		t.Errorf("got %v, %v", c.TrustedProxies, c.MailRate)
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		pairs []string
		demo  bool
		says  string // "" for accepted
	}{
		"production":                      {production, false, ""},
		"production with a demo":          {production, true, "--demo"},
		"production over http":            {append(production[:len(production):len(production)], "PUBLIC_URL", "http://partners.example.com"), false, "not https"},
		"production without SMTP":         {append(production[:len(production):len(production)], "SMTP_URL", ""), false, "SMTP_URL is empty"},
		"production without key":          {append(production[:len(production):len(production)], "SECRET_KEY", ""), false, "SECRET_KEY is empty"},
		"production with zeros":           {append(production[:len(production):len(production)], "SECRET_KEY", strings.Repeat("0", 64)), false, "well-known or uniform"},
		"production with a typed key":     {append(production[:len(production):len(production)], "SECRET_KEY", strings.Repeat("ab", 32)), false, "well-known or uniform"},
		"production, development sender":  {append(production[:len(production):len(production)], "MAIL_FROM", ""), false, "development sender"},
		"unreadable key":                  {[]string{"SECRET_KEY", "short"}, false, "SECRET_KEY is not 32 bytes"},
		"short bounce secret":             {[]string{"BOUNCE_SECRET", "short"}, false, "shorter than 24"},
		"URL with a path":                 {[]string{"PUBLIC_URL", "http://localhost/app"}, false, "without a path"},
		"URL with a slash":                {[]string{"PUBLIC_URL", "http://localhost:8080/"}, false, ""},
		"URL with a query":                {[]string{"PUBLIC_URL", "http://localhost/?a=1"}, false, "without a path"},
		"URL with a user":                 {[]string{"PUBLIC_URL", "http://u:p@localhost"}, false, "without a path"},
		"URL of another scheme":           {[]string{"PUBLIC_URL", "ftp://localhost"}, false, "must be http(s)"},
		"no URL":                          {[]string{"PUBLIC_URL", "localhost:8080"}, false, "must be http(s)"},
		"development in public":           {[]string{"PUBLIC_URL", "http://partners.example.com"}, false, "not local"},
		"development on all":              {[]string{"ADDR", "0.0.0.0:8080"}, false, "not a loopback"},
		"development on every name":       {[]string{"ADDR", ":8080"}, false, "not a loopback"},
		"development on a LAN":            {[]string{"ADDR", "192.168.1.4:8080", "PUBLIC_URL", "http://localhost:8080"}, false, "not a loopback"},
		"development on IPv6":             {[]string{"ADDR", "[::1]:8080"}, false, ""},
		"development on a localhost name": {[]string{"ADDR", "localhost:0", "PUBLIC_URL", "http://cg.localhost:8080"}, false, ""},
		"no port":                         {[]string{"ADDR", "127.0.0.1"}, false, "must be host:port"},
		"bare IPv6":                       {[]string{"ADDR", "::1:8080"}, false, "must be host:port"},
		"api on SQLite":                   {[]string{"ROLE", "api", "REDIS_URL", "redis://r"}, false, "needs PostgreSQL"},
		"worker without Redis":            {[]string{"ROLE", "worker", "DATABASE_URL", "postgres://db/c"}, false, "needs PostgreSQL"},
		"worker":                          {[]string{"ROLE", "worker", "DATABASE_URL", "postgres://db/c", "REDIS_URL", "redis://r"}, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := load(t, c.pairs...)
			cfg.Demo = c.demo
			err := cfg.Check()
			switch {
			case c.says == "" && err != nil:
				t.Errorf("refused: %v", err)
			case c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)):
				t.Errorf("got %v, want %q", err, c.says)
			case c.says != "" && strings.Contains(err.Error(), "\n"):
				t.Errorf("more than one reason: %v", err)
			}
		})
	}
	cfg := load(t, "ENV", "production")
	cfg.Demo = true
	if err := cfg.Check(); strings.Count(err.Error(), "\n") != 4 {
		t.Errorf("a start with nothing but development settings is refused for five reasons at once: %v", err)
	}
}

func TestNoSecretIsPrinted(t *testing.T) {
	t.Parallel()
	pairs := []string{
		"DATABASE_URL", "postgres://dbuser:hush1@db.example/cg?sslmode=require&password=hush7", "REDIS_URL", "redis://:hush2@r:6379/0", "SMTP_URL", "smtp://mailuser:hush3@mail.example:587?tls=starttls",
		"SECRET_KEY", "hush4" + goodKey, "BOUNCE_SECRET", "hush5-hush5-hush5-hush5-hush5", "DKIM_KEY", "-----BEGIN PRIVATE KEY-----\nhush6\n-----END PRIVATE KEY-----",
		"MAIL_FROM", "center@example.com",
	}
	var out strings.Builder
	settings := Settings(env(pairs...), nil)
	if err := Print(&out, settings); err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{"hush", "dbuser", "mailuser"} {
		if strings.Contains(out.String(), s) {
			t.Errorf("%s is shown:\n%s", s, out.String())
		}
	}
	for _, s := range []string{"db.example", "mail.example:587", "center@example.com", "***"} {
		if !strings.Contains(out.String(), s) {
			t.Errorf("%s is not shown", s)
		}
	}
	for _, broken := range []string{"postgres://u:hush%zz@db/c", "hush", "user:hush@host", "postgres://u:hush@db:port/c", "postgresql://u:hush@[::1/c"} {
		for _, s := range Settings(env("DATABASE_URL", broken), nil) {
			if strings.Contains(s.Value, "hush") {
				t.Errorf("%s is shown as %s", broken, s.Value)
			}
		}
	}
	for _, s := range settings {
		if !strings.HasPrefix(s.Name, Prefix) || s.Meaning == "" {
			t.Errorf("got %+v", s)
		}
	}
	cfg := load(t, "SECRET_KEY", "hush4"+goodKey, "BOUNCE_SECRET", "hush5")
	if err := cfg.Check(); err == nil || strings.Contains(err.Error(), "hush") {
		t.Errorf("got %v", err)
	}
}

// .env.example is what people copy: each name in it is a setting.
func TestEnvExample(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("../../.env.example")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?m)^#?\s*(CHANNELGRAPH_[A-Z_]+)=`).FindAllStringSubmatch(string(raw), -1) {
		name := strings.TrimPrefix(m[1], Prefix)
		if name != "PORT" && name != "VERSION" && !Known(name) { // those two are Compose's own
			t.Errorf("%s is no setting", m[1])
		}
	}
}
