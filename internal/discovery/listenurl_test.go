// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package discovery

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestClientURLsAreReadyToDial(t *testing.T) {
	tests := map[string]struct {
		listen string
		want   []string
	}{
		"as given":                        {"http://10.0.0.1:2379", []string{"http://10.0.0.1:2379"}},
		"IPv4 wildcard":                   {"https://0.0.0.0:2379", []string{"https://127.0.0.1:2379"}},
		"IPv6 wildcard":                   {"https://[::]:2379", []string{"https://[::1]:2379"}},
		"IPv6 wildcard, long form":        {"http://[0:0:0:0:0:0:0:0]:2379", []string{"http://[::1]:2379"}},
		"IPv4 wildcard in IPv6 form":      {"http://[::ffff:0.0.0.0]:2379", []string{"http://127.0.0.1:2379"}},
		"empty host":                      {"http://:2379", []string{"http://127.0.0.1:2379"}},
		"IPv6 with zone":                  {"http://[fe80::1%25eth0]:2379", []string{"http://[fe80::1%25eth0]:2379"}},
		"loopback first, then by text":    {"http://10.0.0.2:1,http://10.0.0.1:1,unix:///s,http://[::1]:1,http://localhost:1,http://127.9.0.1:1", []string{"http://127.9.0.1:1", "http://[::1]:1", "http://localhost:1", "unix:///s", "http://10.0.0.1:1", "http://10.0.0.2:1"}},
		"wildcard beside its loopback":    {"http://0.0.0.0:2379,http://127.0.0.1:2379", []string{"http://127.0.0.1:2379"}},
		"blanks around":                   {" http://10.0.0.1:1 , http://10.0.0.2:1", []string{"http://10.0.0.1:1", "http://10.0.0.2:1"}},
		"unix sockets":                    {"unix:///run/etcd.sock,unixs:///run/tls.sock", []string{"unix:///run/etcd.sock", "unixs:///run/tls.sock"}},
		"unix socket relative to the cwd": {"unix://localhost:2379", []string{"unix:///srv/localhost:2379"}},
		"user and path are left out":      {"http://u:p@10.0.0.1:1/path?q#f", []string{"http://10.0.0.1:1"}},
		"what nobody can dial":            {"http://127.0.0.1:0,http://127.0.0.1,http://127.0.0.1:,http://127.0.0.1:65536,127.0.0.1:2379,ftp://127.0.0.1:1,unix:x,unix://,http://[::1,:,%,", nil},
		"none":                            {"", nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, tt.want, listenURLs(tt.listen, "/srv"))
		})
	}
}

func TestRelativeSocketWithoutDirectoryCannotBeDialled(t *testing.T) {
	assert.Equal(t, []string{"unix:///s"}, listenURLs("unix://localhost:2379,unix:///s", ""))
}

func TestClientURLsAreLimitedInNumber(t *testing.T) {
	var listen []string
	for port := 1; port <= 2*maxListenURLs; port++ {
		listen = append(listen, fmt.Sprintf("http://127.0.0.1:%d", port))
	}
	assert.Len(t, listenURLs(strings.Join(listen, ","), ""), maxListenURLs)
}
