// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package discovery

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestConfigFileGivesTheSettingsOfTheCommandLine(t *testing.T) {
	tests := map[string]struct {
		content string
		want    settings
		err     string
	}{
		"all of them, between others": {
			content: `
name: 'm1'
data-dir: /var/lib/etcd
snapshot-count: 10000
listen-client-urls: https://10.0.0.1:2379,https://127.0.0.1:2379
advertise-client-urls: https://10.0.0.1:2379
client-transport-security:
  cert-file: /s.crt
  key-file: /s.key
  client-cert-auth: true
  trusted-ca-file: /ca.crt
peer-transport-security:
  cert-file: /peer.crt
  trusted-ca-file: /peer-ca.crt
`,
			want: settings{
				"name": "m1", "data-dir": "/var/lib/etcd", "cert-file": "/s.crt", "trusted-ca-file": "/ca.crt",
				"client-cert-auth": "true", "listen-client-urls": "https://10.0.0.1:2379,https://127.0.0.1:2379",
			},
		},
		"JSON is YAML too":                 {content: `{"name":"n","client-transport-security":{"client-cert-auth":false}}`, want: settings{"name": "n", "client-cert-auth": "false"}},
		"null is not given, empty is":      {content: "name:\ndata-dir: ''\nclient-transport-security:\n", want: settings{"data-dir": ""}},
		"a number is a fine name":          {content: "name: 5", want: settings{"name": "5"}},
		"empty file":                       {want: settings{}},
		"not YAML":                         {content: "a: b: c", want: settings{}, err: "parse as YAML: yaml: "},
		"another kind of document":         {content: "just words", want: settings{}, err: "parse as YAML: a value has another type"},
		"the good values beside a bad one": {content: "name: [n]\ndata-dir: /d", want: settings{"name": "", "data-dir": "/d"}, err: "parse as YAML: a value has another type"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			given, err := parseConfigFile([]byte(tt.content))
			if tt.err == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, tt.err)
			}
			assert.Equal(t, tt.want, given)
		})
	}
}

func TestConfigFileOfNothingButKeysCostsLittleTime(t *testing.T) {
	var b strings.Builder
	for i := 0; b.Len() < maxConfigBytes-16; i++ {
		fmt.Fprintf(&b, "%x:\n", i)
	}
	start := time.Now()
	_, err := parseConfigFile([]byte(b.String()))
	require.NoError(t, err)
	t.Logf("%d bytes in %v", b.Len(), time.Since(start))
	assert.Less(t, time.Since(start), 10*time.Second, "a hostile process must not hold up the start")
}
