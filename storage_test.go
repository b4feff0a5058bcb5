// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package etcdreceiver

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/extension/xextension/storage"
	"go.opentelemetry.io/collector/receiver/receivertest"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/etcdreceiver/etcdreceiver/internal/metadata"
)

// extensions is a host with these extensions.
type extensions map[component.ID]component.Component

func (e extensions) GetExtensions() map[component.ID]component.Component { return e }

// memoryStorage is a storage extension whose entries the test sets.
type memoryStorage struct {
	component.StartFunc
	component.ShutdownFunc
	storage.Client
	entries map[string][]byte
	err     error
	closed  int
}

func (m *memoryStorage) GetClient(context.Context, component.Kind, component.ID, string) (storage.Client, error) {
	return m, m.err
}

func (m *memoryStorage) Get(_ context.Context, key string) ([]byte, error) {
	return m.entries[key], nil
}

func (m *memoryStorage) Batch(_ context.Context, ops ...*storage.Operation) error {
	for _, op := range ops {
		switch op.Type {
		case storage.Get:
			op.Value = m.entries[op.Key]
		case storage.Set:
			m.entries[op.Key] = op.Value
		}
	}
	return nil
}

func (m *memoryStorage) Close(context.Context) error { m.closed++; return nil }

// What `validate` cannot know is told at the start.
func TestStartTellsWhyTheStorageCannotBeUsed(t *testing.T) {
	files, memory := component.MustNewID("file_storage"), component.MustNewID("memory_limiter")
	for name, tc := range map[string]struct {
		host   extensions
		option string
		want   string
	}{
		"good":            {extensions{files: &memoryStorage{entries: map[string][]byte{}}}, "file_storage", ""},
		"no such":         {extensions{memory: nil, files: nil}, "file_storage/other", `storage "file_storage/other" is no extension of this collector; add it to extensions and to service.extensions; there are file_storage, memory_limiter`},
		"none at all":     {nil, "file_storage", `storage "file_storage" is no extension of this collector; add it to extensions and to service.extensions`},
		"not a storage":   {extensions{memory: nil}, "memory_limiter", `storage "memory_limiter" is an extension, but not one that stores; use for example file_storage`},
		"no client":       {extensions{files: &memoryStorage{err: errors.New("the directory is gone")}}, "file_storage", `storage "file_storage": the directory is gone`},
		"from the future": {extensions{files: &memoryStorage{entries: map[string][]byte{"checkpoint": []byte("etcdreceiver-checkpoint 9 2 00000000\n{}")}}}, "file_storage", "run the newer release again, or give this one another storage directory"},
	} {
		t.Run(name, func(t *testing.T) {
			config := newDefaultConfig()
			config.Endpoints, config.Storage = []string{"127.0.0.1:1"}, tc.option
			r, err := NewFactory().CreateLogs(context.Background(), receivertest.NewNopSettings(metadata.Type), config, consumertest.NewNop())
			require.NoError(t, err)
			err = r.Start(context.Background(), tc.host)
			require.NoError(t, r.Shutdown(context.Background()))
			store, _ := tc.host[files].(*memoryStorage)
			if tc.want == "" {
				require.NoError(t, err)
				assert.Equal(t, 1, store.closed)
				return
			}
			require.ErrorContains(t, err, tc.want)
			if store != nil && store.err == nil {
				assert.Equal(t, 1, store.closed, "the client is given back")
				assert.Len(t, store.entries, 1, "nothing is overwritten")
			}
		})
	}
}

func TestWithoutStorageOneWarningTellsWhatARestartCosts(t *testing.T) {
	core, log := observer.New(zap.WarnLevel)
	settings := receivertest.NewNopSettings(metadata.Type)
	settings.Logger = zap.New(core)
	config := newDefaultConfig()
	config.Endpoints = []string{"127.0.0.1:1"}
	r, err := NewFactory().CreateLogs(context.Background(), settings, config, consumertest.NewNop())
	require.NoError(t, err)
	require.NoError(t, r.Start(context.Background(), componenttest.NewNopHost()))
	require.NoError(t, r.Shutdown(context.Background()))
	assert.Equal(t, 1, log.FilterMessageSnippet("no storage is configured").Len())
}
