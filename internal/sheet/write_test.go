package sheet

import (
	"bytes"
	"testing"
)

func TestCellsAreNoFormulas(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{"": "", "a": "a", "a=b": "a=b", "=1+1": "'=1+1", "+1": "'+1", "-1": "'-1", "@x": "'@x", "\tx": "'\tx",
		"\rx": "'\rx", "\nx": "'\nx", "＝1": "'＝1", "'=1": "'=1", " =1": " =1"} {
		if got := tame(in); got != want {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		}
	}
	var b bytes.Buffer
	if err := WriteCSV(&b, [][]string{{"a,b", `say "hi"`, "two\nlines", "=x", "è"}}); err != nil {
		t.Fatal(err)
	}
	if want := "\"a,b\",\"say \"\"hi\"\"\",\"two\r\nlines\",'=x,è\r\n"; b.String() != want {
		t.Errorf("got %q", b.String())
	}
}
