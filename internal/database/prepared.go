package database

import (
	"bytes"
	"container/list"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

type preparedKey struct{}

// Prepared marks a query, an UPDATE or a DELETE of a transaction that finds few
// rows by an index, whoever asks and for whatever: on PostgreSQL its values
// become parameters of a prepared statement, which is parsed and planned once a
// connection and not each time. It is not for lists, whose best plan hangs on
// who asks. A text that is a single word, such as 'ACTIVE', stays where it is,
// since partial indexes are chosen by it.
//
// An INSERT of VALUES needs no mark: its plan never hangs on its values.
func Prepared(ctx context.Context) context.Context {
	return context.WithValue(ctx, preparedKey{}, true)
}

const (
	// longest is the text of a statement that is worth preparing, most the
	// number of its parameters: what is longer is written once in a while.
	longest, most = 16 << 10, 600
	// prepared is how many statements a connection keeps.
	prepared = 128
)

// statement is one of a transaction, as bun wrote it.
type statement struct {
	text string
	// marked says that it is Prepared.
	marked bool
}

// marked is a statement as its context says.
func marked(ctx context.Context, text string) statement {
	return statement{text: text, marked: ctx.Value(preparedKey{}) != nil}
}

// control are the statements that hold a transaction together.
var control = map[string]bool{"begin": true, "commit": true, "rollback": true}

// prepares reports that a statement may be worth preparing.
func (s statement) prepares() bool {
	return len(s.text) <= longest && (s.marked || strings.HasPrefix(s.text, "INSERT INTO "))
}

// parametrize reads a statement: its text with parameters is p.out then, and
// its values are args. ok is false for one that is not worth it, or that is not
// understood for certain.
func (p *parametrizer) parametrize(s statement) (args [][]byte, ok bool) {
	p.in, p.at, p.out, p.depth, p.list, p.rows, p.set = s.text, 0, p.out[:0], 0, 0, false, false
	if control[s.text] {
		p.keep(len(s.text))
		return nil, true
	}
	if !s.prepares() {
		return nil, false
	}
	if strings.HasPrefix(s.text, "INSERT INTO ") {
		head := strings.Index(s.text, " VALUES (")
		if head < 0 || strings.ContainsAny(s.text[:head], "'-/$;") {
			return nil, false
		}
		p.keep(head + len(" VALUES "))
		p.rows = true
	}
	p.set = strings.HasPrefix(s.text, "UPDATE ")
	p.from = len(p.args)
	if ok = p.all() && len(p.args)-p.from <= most; !ok {
		return nil, false
	}
	return p.args[p.from:len(p.args):len(p.args)], true
}

// parametrizer goes through statements, each once. What it made stays whole
// until it is reset.
type parametrizer struct {
	in     string
	at     int
	out    []byte
	values []byte   // what args are parts of
	args   [][]byte // of all statements
	from   int      // where those of this one begin
	depth  int
	list   int  // the depth of an IN ('…', '…')
	rows   bool // among the rows of VALUES
	set    bool // before the WHERE of an UPDATE
}

// reset takes all back that was made.
func (p *parametrizer) reset() {
	clear(p.args)
	p.in, p.values, p.args = "", p.values[:0], p.args[:0]
	if cap(p.values) > 4*longest {
		p.values = nil
	}
}

func (p *parametrizer) all() bool {
	for p.at < len(p.in) {
		c := p.in[p.at]
		switch {
		case c == '\'':
			if !p.literal() {
				return false
			}
			continue
		case c == '"':
			end := strings.IndexByte(p.in[p.at+1:], '"')
			if end < 0 {
				return false
			}
			p.keep(end + 2)
			continue
		case letter(c):
			p.word()
			continue
		case digit(c), c == '-' && p.at+1 < len(p.in) && digit(p.in[p.at+1]):
			p.number()
			continue
		case c == '$', c == ';', c >= 0x80, c == '-' && strings.HasPrefix(p.in[p.at:], "--"), c == '/' && strings.HasPrefix(p.in[p.at:], "/*"):
			return false
		case c == '(':
			if p.depth++; bytes.HasSuffix(p.out, []byte(" IN ")) {
				p.list = p.depth
			}
		case c == ')':
			if p.list == p.depth {
				p.list = 0
			}
			if p.depth--; p.depth == 0 && p.rows && !strings.HasPrefix(p.in[p.at+1:], ", (") {
				p.rows = false
			}
		}
		p.keep(1)
	}
	return p.depth == 0
}

func (p *parametrizer) keep(n int) {
	p.out = append(p.out, p.in[p.at:p.at+n]...)
	p.at += n
}

// before is the last byte that is no space, and the one before that.
func (p *parametrizer) before() (last, other byte) {
	n := len(p.out)
	for n > 0 && p.out[n-1] == ' ' {
		n--
	}
	if n > 0 {
		last = p.out[n-1]
	}
	if n > 1 {
		other = p.out[n-2]
	}
	return last, other
}

// value reports that what ends at an offset is all of a column's value.
func (p *parametrizer) value(end int) bool {
	last, _ := p.before()
	next := byte(0)
	if end < len(p.in) {
		next = p.in[end]
	}
	switch {
	case p.rows && p.depth == 1:
		return (last == '(' || last == ',') && (next == ',' || next == ')')
	case p.set && p.depth == 0:
		return last == '=' && (next == ',' || strings.HasPrefix(p.in[end:], " WHERE "))
	}
	return false
}

func (p *parametrizer) take(value []byte, end int) {
	p.args = append(p.args, value)
	p.out = strconv.AppendInt(append(p.out, '$'), int64(len(p.args)-p.from), 10)
	p.at = end
}

// copied is a part of values.
func (p *parametrizer) copied(text string) []byte {
	from := len(p.values)
	p.values = append(p.values, text...)
	return p.values[from:len(p.values):len(p.values)]
}

// literal takes a quoted text; false where it is of another kind.
func (p *parametrizer) literal() bool {
	if p.at > 0 && (letter(p.in[p.at-1]) || p.in[p.at-1] == '&') { // E'…', U&'…'
		return false
	}
	from, end, doubled := p.at+1, p.at+1, false
	for {
		n := strings.IndexByte(p.in[end:], '\'')
		if n < 0 {
			return false
		}
		end += n + 1
		if end == len(p.in) || p.in[end] != '\'' {
			break
		}
		doubled, end = true, end+1
	}
	text := p.in[from : end-1]
	last, other := p.before()
	compared := last == '=' || last == '<' || last == '>' && other != '-' && other != '>' || p.list > 0 && p.list == p.depth && (last == '(' || last == ',')
	if !p.value(end) && (!compared || bare(text)) {
		p.keep(end - p.at)
		return true
	}
	from = len(p.values)
	for doubled {
		n := strings.Index(text, "''")
		if doubled = n >= 0; doubled {
			p.values, text = append(p.values, text[:n+1]...), text[n+2:]
		}
	}
	p.values = append(p.values, text...)
	p.take(p.values[from:len(p.values):len(p.values)], end)
	return true
}

func (p *parametrizer) number() {
	end := p.at + 1
	for end < len(p.in) && digit(p.in[end]) {
		end++
	}
	if p.value(end) { // what goes on is no whole number
		p.take(p.copied(p.in[p.at:end]), end)
		return
	}
	for end < len(p.in) && (letter(p.in[end]) || digit(p.in[end]) || p.in[end] == '.') {
		end++
	}
	p.keep(end - p.at)
}

func (p *parametrizer) word() {
	end := p.at + 1
	for end < len(p.in) && (letter(p.in[end]) || digit(p.in[end])) {
		end++
	}
	switch w := p.in[p.at:end]; w {
	case "NULL":
		if p.value(end) {
			p.take(nil, end)
			return
		}
	case "TRUE", "FALSE":
		if p.value(end) {
			p.take(p.copied(w), end)
			return
		}
	case "WHERE":
		if p.depth == 0 {
			p.set = false
		}
	}
	p.keep(end - p.at)
}

func digit(c byte) bool  { return c >= '0' && c <= '9' }
func letter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' }

// bare reports a single word, or nothing.
func bare(text string) bool {
	for i := range len(text) {
		if !letter(text[i]) {
			return false
		}
	}
	return true
}

// ready is a statement as it is sent: a prepared one with its values, or a
// text.
type ready struct {
	*volume
	fresh bool // it is prepared on the way
	args  [][]byte
	text  string
}

// sendPrepared sends statements by name, where they can be, and prepares them
// on the way; each reads a result. What cannot be sent so, because it holds
// several statements, makes all of them go as texts.
func (c *laterConn) sendPrepared(ctx context.Context, all []statement, each func(*pgconn.ResultReader) error) error {
	conn := c.Conn.Conn().PgConn()
	known := libraryOf(conn)
	defer known.reader.reset()
	known.round++
	list := make([]ready, len(all))
	for i, s := range all {
		args, ok := known.reader.parametrize(s)
		switch {
		case ok:
			list[i].args = args
			list[i].volume, list[i].fresh = known.find(known.reader.out)
		case strings.Contains(s.text, ";"):
			known.unmake()
			return c.sendTexts(ctx, all, each)
		default:
			list[i].text = s.text
		}
	}
	pipe := conn.StartPipeline(ctx)
	old := known.trim()
	for _, name := range old {
		pipe.SendDeallocate(name)
	}
	for _, r := range list {
		if r.volume == nil {
			pipe.SendQueryParams(r.text, nil, nil, nil, nil)
			continue
		}
		if r.fresh {
			pipe.SendPrepare(r.name, r.volume.text, nil)
		}
		pipe.SendQueryPrepared(r.name, r.args, nil, nil)
	}
	err := pipe.Sync()
	for range old {
		if err == nil {
			_, err = pipe.GetResults()
		}
	}
	for _, r := range list {
		if err != nil {
			break
		}
		if r.fresh {
			if _, err = pipe.GetResults(); err != nil {
				break
			}
			r.made = true
		}
		var result any
		if result, err = pipe.GetResults(); err != nil {
			break
		}
		reader, ok := result.(*pgconn.ResultReader)
		if !ok {
			err = fmt.Errorf("a statement was answered by %T", result)
			break
		}
		err = each(reader)
	}
	if cerr := pipe.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		known.unmake()
	}
	if is, always := stale(err); is {
		if always {
			c.plain.Store(true)
		}
		_ = c.Conn.Conn().Close(ctx) // another one knows nothing
		err = &staleError{err}
	}
	return err
}

// library is what a connection has prepared.
type library struct {
	byText map[string]*list.Element
	recent *list.List // of *volume, the last used first
	reader parametrizer
	round  uint64 // counts what was sent
}

// volume is a prepared statement.
type volume struct {
	text, name string
	made       bool
	used       uint64 // in which round
}

const libraryKey = "channelgraph.prepared"

// libraryOf is the library of a connection, whoever holds that just now.
func libraryOf(conn *pgconn.PgConn) *library {
	all := conn.CustomData()
	l, ok := all[libraryKey].(*library)
	if !ok {
		l = &library{byText: map[string]*list.Element{}, recent: list.New()}
		all[libraryKey] = l
	}
	return l
}

// find is the statement of a text; a fresh one is yet to be made.
func (l *library) find(text []byte) (v *volume, fresh bool) {
	if e := l.byText[string(text)]; e != nil {
		l.recent.MoveToFront(e)
		v = e.Value.(*volume)
		v.used = l.round
		return v, false
	}
	v = &volume{text: string(text), name: nameOf(text), used: l.round}
	l.byText[v.text] = l.recent.PushFront(v)
	return v, true
}

// trim forgets what was not used for the longest time, and names it.
func (l *library) trim() (names []string) {
	for l.recent.Len() > prepared {
		e := l.recent.Back()
		v := e.Value.(*volume)
		if v.used == l.round { // all of these are on their way
			break
		}
		l.drop(e)
		names = append(names, v.name)
	}
	return names
}

// unmake forgets what was not prepared after all.
func (l *library) unmake() {
	for e := l.recent.Front(); e != nil && e.Value.(*volume).used == l.round; {
		next := e.Next()
		if !e.Value.(*volume).made {
			l.drop(e)
		}
		e = next
	}
}

func (l *library) drop(e *list.Element) {
	delete(l.byText, e.Value.(*volume).text)
	l.recent.Remove(e)
}

// nameOf is the name of a text's statement. It says all of the text: where
// somebody shares out connections by transactions, no name stands for two.
func nameOf(text []byte) string {
	sum := sha256.Sum256(text)
	return "cg_" + hex.EncodeToString(sum[:16])
}

// staleError is what became of a statement that the server has forgotten, or
// knows in another way. The transaction may be run again.
type staleError struct{ cause error }

func (e *staleError) Error() string { return "a prepared statement: " + e.cause.Error() }
func (e *staleError) Unwrap() error { return e.cause }

// stale tells what is wrong with a prepared statement alone, and whether that
// will happen again: somebody shares out connections by transactions.
func stale(err error) (is, always bool) {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return false, false
	}
	switch pg.Code {
	case "26000", "42P05": // there is none of that name, or there is one
		return true, true
	case "0A000":
		return strings.Contains(pg.Message, "cached plan"), false
	}
	return false, false
}
