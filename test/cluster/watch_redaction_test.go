// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/etcdreceiver/etcdreceiver/internal/localcluster"
	"github.com/etcdreceiver/etcdreceiver/test/harness"
)

// watchOutput is all that left the receiver in its log records, marshalled.
type watchOutput struct {
	mu    sync.Mutex
	bytes bytes.Buffer
}

func (o *watchOutput) take(logs plog.Logs) error {
	text, err := (&plog.JSONMarshaler{}).MarshalLogs(logs)
	if err != nil {
		return err
	}
	wire, err := (&plog.ProtoMarshaler{}).MarshalLogs(logs)
	if err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.bytes.Write(text)
	o.bytes.Write(wire)
	return nil
}

// has looks for a value, however it is written, and for its hash.
func (o *watchOutput) has(value string) (text, hash bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return harness.Shows(o.bytes.Bytes(), value)
}

func (o *watchOutput) shows(value string) bool { text, _ := o.has(value); return text }

func TestWatchShowsOfASecretOnlyWhatTheActionAllows(t *testing.T) {
	harness.EachVersion(t, func(t *testing.T, version string) {
		c := harness.Start(t, version, localcluster.Config{})
		client := newClient(t, c)
		cases := []struct {
			value              string // of watch.value
			text, size, hashed bool   // what may leave of a matching key's value
		}{
			{value: "{policy: text}", size: true}, // the default rules and action
			{value: "{policy: base64, redact: {action: none}}"},
			{value: "{policy: text, redact: {action: hash}}", size: true, hashed: true},
			{value: "{policy: size, redact: {action: hash}}", size: true},
			{value: "{policy: none, redact: {action: hash}}"},
			{value: "{policy: text, redact: {keys: []}}", text: true, size: true}, // of Kubernetes Secrets all the same the size only
		}
		outputs := make([]watchOutput, len(cases))
		receivers := make([]*harness.Receiver, len(cases))
		for i, tc := range cases {
			receivers[i] = watchRun(t, watchYAML(c.Endpoints(), "watch: {value: "+tc.value+"}"), 1, outputs[i].take)
		}

		var needles []string
		for i, key := range []string{"/app/db-Password", "/registry/secrets/default/s", "/api_token/1"} {
			old, young := fmt.Sprintf("needle-%d-before", i), fmt.Sprintf("needle-%d-after", i)
			needles = append(needles, old, young)
			watchPut(t, client, key, old)
			watchPut(t, client, key, young)
			_, err := client.Delete(testContext(t), key)
			require.NoError(t, err)
		}
		last := watchPut(t, client, "/plain", "hay that anybody may see")

		for i, tc := range cases {
			watchArrived(t, receivers[i], last, "/plain")
			for _, needle := range needles {
				text, hash := outputs[i].has(needle)
				shown := tc.text && !strings.HasPrefix(needle, "needle-1-") // the Kubernetes Secret
				assert.Equal(t, shown, text, "%s: text of %s", tc.value, needle)
				assert.Equal(t, tc.hashed, hash, "%s: hash of %s", tc.value, needle)
			}
			for _, record := range watchRecords(receivers[i])[:9] {
				_, now := record.Attrs["etcd.kv.value_size"]
				_, before := record.Attrs["etcd.kv.prev_value_size"]
				assert.Equal(t, tc.size, now || before, "%s: size in %v", tc.value, record.Attrs)
			}
			for _, entry := range receivers[i].Log.All() {
				assert.NotContains(t, fmt.Sprint(entry.Message, entry.ContextMap()), "needle-", "the receiver's own log")
			}
		}
		text, _ := outputs[0].has("hay that anybody may see")
		assert.True(t, text, "policy text shows what no rule hides")
	})
}
