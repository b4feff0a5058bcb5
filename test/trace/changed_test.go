// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package trace

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/etcdreceiver/etcdreceiver/internal/localcluster"
	"github.com/etcdreceiver/etcdreceiver/test/harness"
)

// These etcds nobody has released: tools/etcd/change.sh makes them, as a later one
// might be.

func TestAnEtcdWhoseFieldsHaveMovedIsTracedAsAnyOther(t *testing.T) {
	harness.NeedRoot(t)
	etcds(t)
	newProof().compare(t, cell{build: "changed-moved", auth: true})
}

// What would be read wrongly if it were believed is not believed: one line says why,
// nothing is told of a request, and what the client's API tells goes on.
func TestAnEtcdThatWouldBeReadWronglyIsRefused(t *testing.T) {
	harness.NeedRoot(t)
	etcds(t)
	const misread = "requests of our own were read from it in another way than they were: this build of etcd is unknown: "
	for build, why := range map[string]string{
		"changed-arguments": "requests to its own client URL were answered, but not seen in it: this build of etcd is unknown",
		"changed-clock":     misread + "its start has no monotonic time",
		"changed-header":    misread + "the answer of member ",
		"changed-signature": "bytes of arguments, known are 88 and 96: this version of etcd is unknown",
	} {
		t.Run(build, func(t *testing.T) {
			cluster := harness.Start(t, build, localcluster.Config{})
			member := cluster.Members()[0]
			r := harness.Run(t, fmt.Sprintf(`
endpoints: [%s]
collection_interval: 100ms
ebpf: {mode: auto, events: {mode: all}, processes: {pids: [%d], rescan: 100ms}}
`, member.ClientURL, member.PID()))
			const refused = "requests of an etcd process are not traced"
			waitFor(t, "a reason", func() bool { return r.Log.FilterMessage(refused).Len() > 0 })
			client, err := cluster.Client()
			require.NoError(t, err)
			t.Cleanup(func() { _ = client.Close() })
			for n := range 20 { // revisions, and times to look again
				_, err := client.Put(t.Context(), fmt.Sprintf("/changed/%d", n), "value")
				require.NoError(t, err)
				seen := len(r.Metrics())
				waitFor(t, "its change", func() bool {
					return slices.ContainsFunc(r.Records(), func(record harness.Record) bool { return record.Attrs["etcd.key"] == fmt.Sprintf("/changed/%d", n) })
				})
				waitFor(t, "metrics of etcd itself", func() bool { return len(r.Metrics()) > seen })
			}
			r.Stop(t)
			lines := r.Log.FilterMessage(refused).All()
			require.Len(t, lines, 1)
			t.Log(lines[0].ContextMap()["error"])
			assert.Contains(t, lines[0].ContextMap()["error"], why)
			assert.Zero(t, r.Log.FilterMessage("requests of etcd are traced").Len())
			for _, record := range r.Records() {
				assert.False(t, strings.HasPrefix(record.Name, "etcd.request."), record.Body)
				assert.NotContains(t, record.Attrs, "etcd.author.source", record.Body)
			}
			for _, batch := range r.Metrics() {
				for _, rm := range batch.Metrics.ResourceMetrics().All() {
					for _, sm := range rm.ScopeMetrics().All() {
						for _, m := range sm.Metrics().All() {
							assert.False(t, strings.HasPrefix(m.Name(), "etcd.request."), m.Name())
						}
					}
				}
			}
		})
	}
}

// A function that is called otherwise is not guessed: what it would have told is named,
// and the rest is told.
func TestWhatAnEtcdDoesNotHaveIsNamedAndTheRestIsTold(t *testing.T) {
	harness.NeedRoot(t)
	etcds(t)
	p, how := newProof(), cell{build: "changed-names"}
	cluster := harness.Start(t, how.build, localcluster.Config{ExtraArgs: []string{"--bcrypt-cost=4"}})
	tr := follow(t, cluster, everything(pids(cluster)...), "")
	tr.awaitTraced(t, pids(cluster)...)
	p.lacks[how.build] = tr.lacks()
	for _, name := range []string{"client.address", "user.name", "watch_create", "watch_close"} {
		assert.Contains(t, tr.lacks(), name)
	}
	assert.Len(t, tr.lacks(), 4)
	all, threads := tr.play(t, cluster, how)
	tr.stop()
	records := slices.DeleteFunc(mine(tr.Records(), all), func(r record) bool { // the receiver asks for members too
		return r.text("db.operation.name") == "member_list" && !slices.ContainsFunc(all, func(a *asked) bool { return a.isIn(r) })
	})
	p.judge(t, how, all, records, threads)
	for _, name := range []string{"client.address", "user.name", "watch_create", "watch_close"} {
		assert.Contains(t, p.lacking, name)
	}
}
