// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package trace

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/etcdreceiver/etcdreceiver/internal/golden"
)

// proof is what of which build was read as it was.
type proof struct {
	mu         sync.Mutex
	fields     map[string]map[string]bool // by name and build
	operations map[string]map[string]bool
	used       map[*exception]bool
	builds     map[string]bool              // that were there
	lacks      map[string]map[string]string // by build: what the receiver says it cannot tell of it, and why
	lacking    map[string]map[string]string // by field or operation, and build: what was not told, and why
}

func newProof() *proof {
	return &proof{
		fields: map[string]map[string]bool{}, operations: map[string]map[string]bool{}, used: map[*exception]bool{}, builds: map[string]bool{},
		lacks: map[string]map[string]string{}, lacking: map[string]map[string]string{},
	}
}

// exception is a field that is not told of some requests, and why.
type exception struct {
	field string
	why   string
	of    func(a *asked) bool
}

func operations(names ...string) func(*asked) bool {
	return func(a *asked) bool { return slices.Contains(names, a.operation()) }
}

var exceptions = []*exception{
	{
		"user.name", "of a request on a stream: it is told as it begins, before etcd looks for its user; of watches after the first of a stream it is told",
		operations("watch_create", "lease_keep_alive", "range_stream"),
	},
	{
		"user.name", "of the end of a stream",
		operations("watch_close"),
	},
	{
		"user.name", "of a request for which etcd does not look for its user",
		operations("authenticate", "downgrade", "grpc.health.v1.Health/Check", "lease_leases", "lease_time_to_live", "member_list", "move_leader", "status"),
	},
	{
		"user.name", "of a request that etcd refuses as malformed, before it looks for its user",
		func(a *asked) bool {
			return operations("range", "put", "delete_range", "txn")(a) && a.attrs["error.type"] == "INVALID_ARGUMENT"
		},
	},
}

func (p *proof) agrees(how cell, a *asked, field string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	note(p.fields, field, how.build)
	note(p.operations, a.operation(), how.build)
	p.builds[how.build] = true
}

func note(in map[string]map[string]bool, name, build string) {
	if in[name] == nil {
		in[name] = map[string]bool{}
	}
	in[name][build] = true
}

func (p *proof) differs(t *testing.T, how cell, a *asked, field string, got, want any) {
	t.Helper()
	if got == nil && p.named(how, a, field) {
		return
	}
	for _, e := range exceptions {
		if e.field == field && got == nil && e.of(a) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.used[e] = true
			return
		}
	}
	t.Errorf("%s %v: %s is %#v, want %#v", a.operation(), a.attrs["rpc.response.status_code"], field, got, want)
}

// covers are the fields that the receiver means by one name, where that is not the
// field's own.
var covers = map[string][]string{
	"client.address":             {"client.address", "client.port", "etcd.client.process.name", "etcd.client.process.pid", "tls.client.subject"},
	"operations of transactions": {"etcd.txn.branch", "etcd.txn.keys", "etcd.txn.operations"},
}

// named tells whether the receiver itself has named what it did not tell.
func (p *proof) named(how cell, a *asked, field string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if field == "record" {
		field = a.operation()
	}
	for name, why := range p.lacks[how.build] {
		if name == field || slices.Contains(covers[name], field) {
			if p.lacking[field] == nil {
				p.lacking[field] = map[string]string{}
			}
			p.lacking[field][how.build] = why
			return true
		}
	}
	return false
}

// operation is its name, or the method where it has none.
func (a *asked) operation() string {
	for _, name := range []string{"db.operation.name", "rpc.method"} {
		if s, ok := a.attrs[name].(string); ok {
			return s
		}
	}
	return ""
}

// table compares what is proven with the table in the documentation.
func (p *proof) table(t *testing.T) {
	for _, e := range exceptions {
		assert.True(t, p.used[e], "nothing lacks %s %s any more", e.field, e.why)
	}
	var b bytes.Buffer
	rows := func(title string, of map[string]map[string]bool) {
		fmt.Fprintf(&b, "| %s | etcd %s |\n|---%s|\n", title, strings.Join(builds, " | "), strings.Repeat("|---", len(builds)))
		for _, name := range slices.Sorted(maps.Keys(of)) {
			fmt.Fprintf(&b, "| `%s` |", name)
			for _, build := range builds {
				fmt.Fprintf(&b, " %s |", map[bool]string{true: "yes", false: "-"}[of[name][build]])
			}
			b.WriteByte('\n')
		}
		b.WriteByte('\n')
	}
	rows("Field", p.fields)
	b.WriteString("Not told:\n\n")
	for _, e := range exceptions {
		fmt.Fprintf(&b, "- `%s` %s\n", e.field, e.why)
	}
	b.WriteByte('\n')
	rows("Operation; - is not in that etcd", p.operations)
	golden.Text(t, "trace-fields.md", bytes.TrimRight(b.Bytes(), "\n"))
}
