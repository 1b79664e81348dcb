package access

import (
	"sync/atomic"
	"testing" //nolint:depguard // its Testing tells test binaries, in which alone the policy may be weakened
)

// Weakness is a policy with one thing wrong, so that tests can prove that each
// part of it is missed where it is missing: either one cell of the role matrix
// turned round, or one rule of Rules left out.
type Weakness struct {
	Kind       Kind
	Role       Role
	Permission Permission

	Rule string
}

// Rules are the rules beside the role matrix, by their names.
var Rules = []string{
	"Scope.ByOrganization", "Scope.ByPartner", "Scope.ByUser", "Scope.Partners", // left out: no bound
	"Scope.Partners: own", "Scope.Partners: as provider", "Scope.Partners: as reseller", // left out: fewer partners
	"Scope: second column", // left out: what names the actor in another column is hidden
	"Scope: nobody",        // left out: who has nothing sees everything
	"Scope: bounds",        // left out: everybody sees as the operator does
	"Scope: operator",      // left out: the operator sees its own alone
	"Require", "Token: scopes", "Token: persons only", "Sudo", "Load: active users only",
}

// weakness is nil but in tests.
var weakness atomic.Pointer[Weakness]

// Weaken has the policy of this process be wrong until mend is called. Nothing
// but a test binary can do it: anywhere else it panics.
func Weaken(w Weakness) (mend func()) {
	if !testing.Testing() {
		panic("access: the policy is weakened outside of tests")
	}
	weakness.Store(&w)
	return func() { weakness.Store(nil) }
}

// without reports that a test leaves a rule out.
func without(rule string) bool {
	w := weakness.Load()
	return w != nil && w.Rule == rule
}

// turned reports that a test turned a cell of the matrix round.
func turned(k Kind, r Role, p Permission) bool {
	w := weakness.Load()
	return w != nil && w.Rule == "" && w.Kind == k && w.Role == r && w.Permission == p
}
