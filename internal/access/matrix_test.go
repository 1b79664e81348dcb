package access

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestMatrix shows every change of a permission in review: the golden file
// holds the whole matrix, one line a kind and permission.
func TestMatrix(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for _, k := range Kinds {
		fmt.Fprintf(&b, "%s\n", k)
		for _, p := range Permissions {
			var who []string
			for _, r := range Roles {
				if Allowed(k, r, p) {
					who = append(who, string(r))
				}
			}
			if who == nil {
				who = []string{"-"}
			}
			fmt.Fprintf(&b, "  %-35s %s\n", p, strings.Join(who, " "))
		}
	}
	const file = "testdata/matrix.golden"
	if *update {
		if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("the role matrix changed; if that is meant, run the test with -update and let the difference be reviewed:\n%s", b.String())
	}
}

func TestMatrixIsWhole(t *testing.T) {
	t.Parallel()
	listed := map[Permission]bool{}
	for _, p := range Permissions {
		if listed[p] {
			t.Errorf("%s is listed twice", p)
		}
		listed[p] = true
		if len(matrix[p]) == 0 {
			t.Errorf("nobody may %s", p)
		}
	}
	for p := range matrix {
		if !listed[p] {
			t.Errorf("%s is not in Permissions", p)
		}
	}
	for _, k := range Kinds {
		for _, r := range Roles {
			for _, p := range Permissions {
				if Allowed(k, r, p) && !contains(RolesOf(k), r) {
					t.Errorf("%s of %s may %s but cannot exist", r, k, p)
				}
			}
		}
		if Allowed(k, "KING", PermViewerRead) || Allowed("REALM", GlobalAdmin, PermViewerRead) || Allowed(k, GlobalAdmin, "everything") {
			t.Error("what is unknown is allowed")
		}
	}
}
