// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package trace

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestFunctionsOfEtcdAreKnownByTheEndsOfTheirNames(t *testing.T) {
	assert.Len(t, byTail, len(functionNames), "two end alike")
	for _, name := range functionNames {
		assert.True(t, lookedFor([]byte(name)), name)
		assert.True(t, lookedFor([]byte("go.etcd.io/etcd/server/v3/"+name)), name)
		assert.False(t, lookedFor([]byte("go.etcd.io/etcd/server/v3/not"+name)), name)
		assert.False(t, lookedFor([]byte(name+".func1")), name)
	}
	for name, want := range map[string]bool{
		"go.etcd.io/etcd/server/v3/embed.(*Config).setupLogging.func1":                      true, // ends as another one that is looked for
		"go.etcd.io/etcd/server/v3/embed.(*Config).setupLogging.(*Config).newLogger.func12": true,
		"go.etcd.io/etcd/server/v3/embed.(*Config).setupLogging":                            false,
		"go.etcd.io/etcd/server/v3/embed.(*Config).setupMetrics.func1":                      false,
		"main": false,
		"":     false,
	} {
		assert.Equal(t, want, lookedFor([]byte(name)), name)
	}
}
