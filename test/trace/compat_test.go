// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package trace

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/etcdreceiver/etcdreceiver/internal/golden"
	"github.com/etcdreceiver/etcdreceiver/internal/localcluster"
	"github.com/etcdreceiver/etcdreceiver/test/harness"
)

// etcds are the builds of ETCDS; `make test-compat` builds them.
func etcds(t *testing.T) []string {
	t.Helper()
	all := strings.Fields(os.Getenv("ETCDS"))
	if len(all) == 0 {
		t.Skip("SKIPPED: ETCDS is not set; `make test-compat` builds etcds and sets it")
	}
	return all
}

// built is which etcd a build is of, and how it was built, by tools/etcd/matrix. Those of
// `make test` are as etcd itself builds them, and say their version.
func built(t *testing.T, build, version string) (etcd, how string) {
	t.Helper()
	if build == "3.4" {
		return version, "Debian"
	}
	matrix, err := os.ReadFile("../../tools/etcd/matrix")
	require.NoError(t, err)
	for line := range strings.Lines(string(matrix)) {
		if fields := strings.Fields(line); len(fields) > 3 && fields[0] == build {
			return fields[1], fields[3]
		}
	}
	return version, "official"
}

// column is what people ask for, and the fields that must all be right for a yes.
type column struct {
	title  string
	fields []string
}

var columns = []column{
	{"Client's address and process", []string{"client.address", "client.port", "etcd.client.process.name", "etcd.client.process.pid"}},
	{"Name in its certificate", []string{"tls.client.subject"}},
	{"User", []string{"user.name"}},
	{"Key", []string{"etcd.key", "etcd.range_end", "etcd.key_size", "etcd.key_truncated"}},
	{"Revision", []string{"etcd.revision", "etcd.request.revision"}},
	{"Value size", []string{"etcd.kv.value_size"}},
	{"Latency", []string{"Timestamp", "etcd.request.duration"}},
	{"Failure reason", []string{"rpc.response.status_code", "error.type", "etcd.request.message"}},
	{"Transaction", []string{"etcd.txn.branch", "etcd.txn.keys", "etcd.txn.operations"}},
	{"Lease", []string{"etcd.lease.id", "etcd.lease.ttl"}},
	{"Other fields", []string{
		"EventName", "db.operation.name", "db.system.name", "etcd.auth.role", "etcd.auth.user", "etcd.request.action", "etcd.request.member_id",
		"etcd.request.name", "etcd.response.count", "etcd.watch.id", "rpc.method", "thread.id",
	}},
}

// streamed are the operations on streams that each etcd has.
var streamed = []string{"watch_create", "watch_cancel", "watch_close", "lease_keep_alive", "snapshot"}

// Each etcd is traced while requests of every operation go through it, with TLS and
// auth: the records are those of the requests and no others, field by field. The table
// has a yes for what was equal everywhere, and else the reason that the receiver gave.
func TestEveryBuildOfEtcdIsTracedAsTheTableSays(t *testing.T) {
	harness.NeedRoot(t)
	p := newProof()
	var rows []string
	for _, build := range etcds(t) {
		t.Run(build, func(t *testing.T) {
			how := cell{build: build, tls: true, auth: true}
			version, compiler, requests := p.proveBuild(t, how)
			author, secure := "yes", true
			if p.lacks[build]["user.name"] != "" {
				author, secure = "yes, without the user", false
			}
			t.Run("authors", func(t *testing.T) { proveAuthors(t, localcluster.Config{Size: 3, TLS: secure}, build, 2500) })
			version, way := built(t, build, version)
			row := []string{build, version, compiler, way, requests}
			for _, c := range columns {
				row = append(row, p.told(t, build, p.fields, c.fields))
			}
			row = append(row, p.told(t, build, p.operations, streamed), "yes", author)
			if !t.Failed() {
				rows = append(rows, "| "+strings.Join(row, " | ")+" |\n")
			}
		})
	}
	for field := range p.fields {
		assert.True(t, slices.ContainsFunc(columns, func(c column) bool { return slices.Contains(c.fields, field) }), "%s is in no column", field)
	}
	title := "| Build | etcd | Go | How | Requests traced |"
	for _, c := range columns {
		title += " " + c.title + " |"
	}
	title += " Streams | Syncs of the WAL and backend | Author of changes |"
	title += "\n" + strings.Repeat("|---", strings.Count(title, "|")-1) + "|\n"
	golden.Rows(t, "compat.md", title, rows, byVersion, "make test-compat UPDATE=1")
}

// byVersion orders rows by the version of etcd, then by name.
func byVersion(a, b string) int {
	version := func(row string) []int {
		var major, minor, patch int
		_, _ = fmt.Sscanf(strings.Split(row, "|")[2], " %d.%d.%d", &major, &minor, &patch)
		return []int{major, minor, patch}
	}
	return cmp.Or(slices.Compare(version(a), version(b)), strings.Compare(a, b))
}

// told is the cell of a build: yes if all of these names were equal, else why the
// receiver does not tell them.
func (p *proof) told(t *testing.T, build string, in map[string]map[string]bool, names []string) string {
	t.Helper()
	why := map[string]bool{}
	for _, name := range names {
		if reason := p.lacking[name][build]; reason != "" {
			why[reason] = true
			continue
		}
		assert.True(t, in[name][build], "%s of %s was never there", name, build)
	}
	if len(why) == 0 {
		return "yes"
	}
	return "no: " + strings.Join(slices.Sorted(maps.Keys(why)), "; ")
}

// proveBuild is about all that one member tells.
func (p *proof) proveBuild(t *testing.T, how cell) (version, compiler, requests string) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cluster, err := localcluster.Start(ctx, localcluster.Config{
		Binary: harness.Binary(t, how.build), TLS: true, ExtraArgs: []string{"--bcrypt-cost=4", "--snapshot-count=100000"},
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, cluster.Close()) })
	require.NoError(t, cluster.EnableAuth(t.Context(), rootPassword))
	client, err := cluster.Client()
	require.NoError(t, err)
	defer func() { _ = client.Close() }()
	status, err := client.Status(t.Context(), cluster.Endpoints()[0])
	require.NoError(t, err)
	settings := everything(pids(cluster)...)
	settings.Disk, settings.SlowSync = true, time.Hour
	tr := follow(t, cluster, settings, rootPassword)
	tr.awaitTraced(t, pids(cluster)...)
	p.lacks[how.build] = tr.lacks()

	member := cluster.Members()[0]
	e := &syncingEtcd{t: t, member: member, tls: cluster.TLS(), tracing: tr}
	before := e.settled()
	n := tr.mixed(t, cluster, 4, 125, rootPassword)
	countsAgree(t, e.settled().since(before), 0)

	known := len(tr.Records()) // ports are used again
	asked, threads := tr.play(t, cluster, how)
	tr.stop()
	p.judge(t, how, asked, mine(tr.Records()[known:], asked), threads)
	assert.Empty(t, tr.Lost())

	traced := tr.Log.FilterMessage("requests of etcd are traced").All()
	require.NotEmpty(t, traced)
	return status.Version, fmt.Sprint(traced[0].ContextMap()["go"]), fmt.Sprintf("%d of %d", n+len(asked), n+len(asked))
}
