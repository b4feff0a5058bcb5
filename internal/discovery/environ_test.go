// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package discovery

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestEnvironmentIsReadAsEtcdReadsIt(t *testing.T) {
	tests := map[string]struct {
		environ string
		want    settings
	}{
		"every setting has a variable": {
			"ETCD_CONFIG_FILE=c\x00ETCD_NAME=n\x00ETCD_DATA_DIR=d\x00ETCD_LISTEN_CLIENT_URLS=u\x00" +
				"ETCD_TRUSTED_CA_FILE=ca\x00ETCD_CERT_FILE=crt\x00ETCD_CLIENT_CERT_AUTH=1\x00",
			settings{
				"config-file": "c", "name": "n", "data-dir": "d", "listen-client-urls": "u",
				"trusted-ca-file": "ca", "cert-file": "crt", "client-cert-auth": "1",
			},
		},
		"an empty variable is not set":    {"ETCD_NAME=\x00", settings{}},
		"the first of two wins":           {"ETCD_NAME=a\x00ETCD_NAME=b\x00", settings{"name": "a"}},
		"the first wins even if empty":    {"ETCD_NAME=\x00ETCD_NAME=b\x00", settings{}},
		"values may hold equals signs":    {"ETCD_NAME=a=b\x00", settings{"name": "a=b"}},
		"other variables mean nothing":    {"NAME=x\x00XETCD_NAME=x\x00etcd_name=x\x00ETCDCTL_CERT=x\x00", settings{}},
		"no equals sign, no end, no text": {"\x00ETCD_NAME\x00\x00ETCD_DATA_DIR=d", settings{"data-dir": "d"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, tt.want, parseEnvironment(tt.environ))
		})
	}
}
