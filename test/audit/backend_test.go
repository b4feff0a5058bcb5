// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"io"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/etcdreceiver/etcdreceiver/internal/localcluster/child"
	"github.com/etcdreceiver/etcdreceiver/test/harness"
)

const patience = 60 * time.Second

func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	for began := time.Now(); !done(); time.Sleep(100 * time.Millisecond) {
		require.Less(t, time.Since(began), patience, "waited in vain for: %s", what)
	}
}

// backend is a running VictoriaLogs.
type backend struct {
	url    string
	client *http.Client
}

func startBackend(t *testing.T) *backend {
	t.Helper()
	program := harness.Program(t, "VICTORIA_LOGS", "test")
	address := harness.FreeAddress(t)
	p, err := child.Start(child.Config{Path: program, Args: []string{"-httpListenAddr=" + address, "-storageDataPath=" + t.TempDir(), "-memory.allowedBytes=100MB"}})
	require.NoError(t, err)
	t.Cleanup(func() { _ = p.Stop(10 * time.Second) })
	b := &backend{"http://" + address, &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}}
	waitFor(t, "VictoriaLogs", func() bool {
		answer, err := b.client.Get(b.url + "/health")
		if err != nil {
			return false
		}
		_ = answer.Body.Close()
		return answer.StatusCode == http.StatusOK
	})
	return b
}

// ask answers a query of LogsQL as JSON lines, as the page's curl does.
func (b *backend) ask(t *testing.T, query string) []row {
	t.Helper()
	answer, err := b.client.PostForm(b.url+"/select/logsql/query", url.Values{"query": {query}})
	require.NoError(t, err)
	text, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	require.Equal(t, http.StatusOK, answer.StatusCode, "%s: %s", query, text)
	return rows(t, string(text))
}
