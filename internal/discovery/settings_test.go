// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package discovery

import (
	"net/url"
	"path"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestDefaultsStandBelowWhatWasGiven(t *testing.T) {
	tests := map[string]struct{ given, want settings }{
		"nothing given":                    {nil, settings{"name": "default", "data-dir": "default.etcd", "listen-client-urls": "http://localhost:2379", "listen-peer-urls": "http://localhost:2380"}},
		"data directory follows the name":  {settings{"name": "n"}, settings{"name": "n", "data-dir": "n.etcd", "listen-client-urls": "http://localhost:2379", "listen-peer-urls": "http://localhost:2380"}},
		"empty name is a name, others not": {settings{"name": "", "data-dir": "", "listen-client-urls": ""}, settings{"name": "", "data-dir": ".etcd", "listen-client-urls": "http://localhost:2379", "listen-peer-urls": "http://localhost:2380"}},
		"what was given stays":             {settings{"data-dir": "d", "listen-client-urls": "u"}, settings{"name": "default", "data-dir": "d", "listen-client-urls": "u", "listen-peer-urls": "http://localhost:2380"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, tt.want, tt.given.withDefaults())
		})
	}
}

// FuzzSettings feeds what a process controls to every parser and checks what
// Process promises, whatever the input.
func FuzzSettings(f *testing.F) {
	f.Add("etcd\x00--name\x00n\x00--listen-client-urls=http://0.0.0.0:2379,unix://s\x00", "ETCD_DATA_DIR=d\x00", []byte("name: n\n"))
	f.Add("etcd\x00-client-cert-auth\x00", "ETCD_LISTEN_CLIENT_URLS=https://[::]:1,http://[fe80::1%25a]:2\x00", []byte("listen-client-urls: http://:1\n"))
	f.Add("", "\x00=\x00", []byte("client-transport-security: {trusted-ca-file: &a [*a]}\n"))
	f.Fuzz(func(t *testing.T, cmdline, environ string, config []byte) {
		argv := splitArguments(cmdline)
		isServer("", argv, []string{serverName})
		flags := settings{}
		if len(argv) > 0 {
			flags = parseFlags(argv[1:])
		}
		file, _ := parseConfigFile(config)
		for _, given := range []settings{flags.over(parseEnvironment(environ)), file, nil} {
			for _, cwd := range []string{"/srv", ""} {
				requirePromises(t, describe(given, cwd))
				requirePromises(t, describe(given.withDefaults(), cwd))
			}
		}
	})
}

func requirePromises(t *testing.T, p Process) {
	t.Helper()
	for _, name := range []string{p.DataDir, p.TrustedCAFile, p.CertFile} {
		require.True(t, name == "" || path.IsAbs(name), name)
	}
	require.LessOrEqual(t, len(p.ClientURLs), maxListenURLs)
	for _, text := range p.ClientURLs {
		if _, file, ok := strings.Cut(text, "://"); ok && strings.HasPrefix(text, "unix") {
			require.True(t, path.IsAbs(file), text)
			continue
		}
		u, err := url.Parse(text)
		require.NoError(t, err)
		require.Contains(t, []string{"http", "https"}, u.Scheme)
		require.NotContains(t, []string{"", "0.0.0.0", "::"}, u.Hostname())
		require.NotContains(t, []string{"", "0"}, u.Port())
		again, ok := parseListenURL(text, "")
		require.True(t, ok, text)
		require.Equal(t, text, again.url, "what is ready to dial stays as it is")
	}
}
