// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

// Package audit holds docs/audit-trail.md against what people did: its queries are read
// from the page and asked of the backend that it names, which a collector with
// examples/audit.yaml beside a real cluster has filled.
package audit

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"go.uber.org/goleak"

	"github.com/etcdreceiver/etcdreceiver/internal/localcluster"
	"github.com/etcdreceiver/etcdreceiver/test/harness"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestThePageAnswersItsQuestionsWithWhatWasDone(t *testing.T) {
	harness.NeedRoot(t)
	asked := questions(t)
	b := startBackend(t)
	cluster := startCluster(t, "--strict-reconfig-check=false")
	s := newScene(t, cluster)
	startAudit(t, cluster, b)
	s.act()
	last := s.changes[len(s.changes)-1]
	waitFor(t, "the last change", func() bool { return slices.Contains(changes(t, b), last) })

	for heading, deeds := range s.deeds {
		q, ok := asked[heading]
		if !assert.True(t, ok, "the page does not ask %q", heading) {
			continue
		}
		var answer []row
		want := strings.Join(deeds, "\n")
		told := func() string {
			var all []string
			answer = b.ask(t, q.query)
			for _, r := range answer {
				all = append(all, told(r))
			}
			return strings.Join(all, "\n")
		}
		for began := time.Now(); told() != want && time.Since(began) < patience; {
			s.pause()
		}
		assert.Equal(t, want, told(), heading)
		q.assertShown(t, answer)
	}
	for heading := range asked {
		assert.True(t, s.deeds[heading] != nil, "the test knows nothing of the page's question %q", heading)
	}

	// Audit records and nothing else, each change once.
	var events []string
	for _, r := range b.ask(t, `* | stats by (event.name) count() n | sort by (event.name)`) {
		events = append(events, r.fields["event.name"])
	}
	for _, name := range events {
		assert.Contains(t, []string{
			"etcd.kv.put", "etcd.kv.delete", "etcd.request.put", "etcd.request.get", "etcd.request.auth",
			"etcd.request.member", "etcd.request.maintenance", "etcd.request.compact", "etcd.connection.refused",
		}, name)
	}
	assert.Empty(t, b.ask(t, `event.name:in("etcd.request.put", "etcd.request.delete", "etcd.request.txn", "etcd.request.lease", "etcd.request.get") !error.type:*`), "they failed")
	assert.ElementsMatch(t, s.changes, changes(t, b), "each change once")
}

// changes are those that were told, by revision and key.
func changes(t *testing.T, b *backend) (all []string) {
	t.Helper()
	for _, r := range b.ask(t, `event.name:in("etcd.kv.put", "etcd.kv.delete") | fields etcd.kv.mod_revision, etcd.key`) {
		all = append(all, r.fields["etcd.kv.mod_revision"]+" "+r.fields["etcd.key"])
	}
	return all
}

// told is what a row says, without what differs from run to run.
func told(r row) string {
	return fmt.Sprintf("%s@%s: %s", r.fields["user.name"], r.fields["client.address"], steady(r.fields["_msg"]))
}

func TestThePagesConfigurationFindsEtcdByItsName(t *testing.T) {
	harness.NeedRoot(t)
	b := startBackend(t)
	cluster := harness.Start(t, "3.6", localcluster.Config{TLS: true, ExtraArgs: []string{"--bcrypt-cost=4"}})
	newScene(t, cluster)
	m := cluster.Members()[0]
	env, configs := asThePageSays(t, cluster, b, m)
	c := harness.StartDistribution(t, env, configs...)
	c.Await(t, fmt.Sprintf(`"pid": %d, "name": "n1", "etcd": "3.6.`, m.PID()), 1) // is traced
}

// startAudit runs the distribution for all members.
func startAudit(t *testing.T, cluster *localcluster.Cluster, b *backend) {
	t.Helper()
	env, configs := asThePageSays(t, cluster, b, cluster.Members()...)
	c := harness.StartDistribution(t, env, append(configs, apart(t, cluster.Members()...))...)
	c.Await(t, "requests of etcd are traced", len(cluster.Members()))
	c.Await(t, "\twatching\t", 1)
}

// asThePageSays is how the distribution is run for some members. Only their endpoints are
// others, and it has no port of its own, which another program may have.
func asThePageSays(t *testing.T, cluster *localcluster.Cluster, b *backend, members ...*localcluster.Member) (env, configs []string) {
	t.Helper()
	var endpoints []string
	for _, m := range members {
		endpoints = append(endpoints, m.ClientURL)
	}
	override := harness.ConfigFile(t, fmt.Sprintf(`
receivers: {etcd: {endpoints: [%s]}}
service: {telemetry: {metrics: {level: none}}}`, strings.Join(endpoints, ", ")))
	files := cluster.TLS()
	return []string{
		"ETCD_CA_FILE=" + files.CAFile, "ETCD_CERT_FILE=" + files.CertFile, "ETCD_KEY_FILE=" + files.KeyFile,
		"ETCD_USERNAME=otel", "ETCD_PASSWORD=" + passwordOf("otel"), "CLUSTER_NAME=production",
		"OTLP_HTTP_ENDPOINT=" + b.url + "/insert/opentelemetry", "OTELCOL_ETCD_STATE=" + t.TempDir(),
	}, []string{"../../examples/audit.yaml", override}
}

// apart lets a collector look for some members of startCluster only.
func apart(t *testing.T, members ...*localcluster.Member) (config string) {
	t.Helper()
	var programs []string
	for _, m := range members {
		programs = append(programs, filepath.Base(m.Binary()))
	}
	return harness.ConfigFile(t, fmt.Sprintf("receivers: {etcd: {ebpf: {processes: {names: [%s]}}}}", strings.Join(programs, ", ")))
}

func startCluster(t *testing.T, args ...string) *localcluster.Cluster {
	t.Helper()
	return harness.StartApart(t, "3.6", localcluster.Config{Size: 3, TLS: true, ExtraArgs: append(args, "--bcrypt-cost=4")})
}
