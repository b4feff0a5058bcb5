// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package etcdreceiver

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/extension/xextension/storage"

	"github.com/etcdreceiver/etcdreceiver/internal/checkpoint"
)

// openCheckpoint opens the checkpoint of the change stream on a storage extension
// of the host; nil without one. What it refuses, `validate` cannot know.
func openCheckpoint(ctx context.Context, host component.Host, name string, receiver component.ID) (*checkpoint.Store, error) {
	if name == "" {
		return nil, nil
	}
	var id component.ID
	if err := id.UnmarshalText([]byte(name)); err != nil {
		return nil, fmt.Errorf("storage %q: %w", name, err)
	}
	extension, ok := host.GetExtensions()[id]
	if !ok {
		return nil, fmt.Errorf("storage %q is no extension of this collector; add it to extensions and to service.extensions%s", name, present(host))
	}
	provider, ok := extension.(storage.Extension)
	if !ok {
		return nil, fmt.Errorf("storage %q is an extension, but not one that stores; use for example file_storage", name)
	}
	client, err := provider.GetClient(ctx, component.KindReceiver, receiver, "")
	if err != nil {
		return nil, fmt.Errorf("storage %q: %w", name, err)
	}
	store, err := checkpoint.Open(ctx, client)
	if err != nil {
		err = fmt.Errorf("storage %q: the checkpoint cannot be used: %w", name, err)
		if _, ok := errors.AsType[*checkpoint.FutureError](err); ok {
			err = fmt.Errorf("%w; run the newer release again, or give this one another storage directory, which begins anew", err)
		}
		return nil, errors.Join(err, client.Close(ctx))
	}
	return store, nil
}

func present(host component.Host) string {
	var names []string
	for _, id := range slices.SortedFunc(maps.Keys(host.GetExtensions()), func(a, b component.ID) int { return strings.Compare(a.String(), b.String()) }) {
		names = append(names, id.String())
	}
	if names == nil {
		return ""
	}
	return "; there are " + strings.Join(names, ", ")
}
