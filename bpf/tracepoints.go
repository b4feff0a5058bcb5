// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package bpf

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
)

// shared are the maps of Programs that programs on tracepoints use too. spec is
// theirs. They are written for a ring: nearly all kernels without one have no
// tracepoints with BTF either, which are of 5.5.
func (p *Programs) shared(spec *ebpf.CollectionSpec) (map[string]*ebpf.Map, error) {
	if p.perf {
		return nil, errNoRing
	}
	all := map[string]*ebpf.Map{
		etcdMapRecords: p.loaded.Maps[etcdMapRecords], etcdMapCounters: p.loaded.Maps[etcdMapCounters], etcdMapLost: p.loaded.Maps[etcdMapLost],
		etcdMapProcesses: p.loaded.Maps[etcdMapProcesses], etcdMapDistributions: p.loaded.Maps[etcdMapDistributions],
	}
	maps.DeleteFunc(all, func(name string, _ *ebpf.Map) bool { return spec.Maps[name] == nil })
	spec.Maps[etcdMapRecords].MaxEntries = p.loaded.Maps[etcdMapRecords].MaxEntries()
	return all, nil
}

// attachTracepoints loads a set of programs and attaches it: all of it or nothing.
// Their names are those of the tracepoints.
func (p *Programs) attachTracepoints(spec *ebpf.CollectionSpec, shared map[string]*ebpf.Map, names []string) ([]link.Link, error) {
	return p.attachAll(spec, shared, names, func(program *ebpf.Program, _ int) (link.Link, error) {
		return link.AttachTracing(link.TracingOptions{Program: program})
	})
}

// tracepoint is one that is found by its name in tracefs, which needs no BTF.
type tracepoint struct{ group, name, program string }

// fieldAt is where an event of tracefs has a field.
func fieldAt(event tracepoint, name string) (offset uint32, err error) {
	var text []byte
	for _, root := range []string{"/sys/kernel/tracing", "/sys/kernel/debug/tracing"} {
		if text, err = os.ReadFile(filepath.Join(root, "events", event.group, event.name, "format")); err == nil {
			break
		}
	}
	if err != nil {
		return 0, err
	}
	found := regexp.MustCompile(`field:\S+ ` + name + `;\s*offset:(\d+);`).FindSubmatch(text)
	if found == nil {
		return 0, fmt.Errorf("the event %s has no field %s", event.name, name)
	}
	at, err := strconv.ParseUint(string(found[1]), 10, 32)
	return uint32(at), err
}

func (p *Programs) attachByName(spec *ebpf.CollectionSpec, shared map[string]*ebpf.Map, to []tracepoint) ([]link.Link, error) {
	var names []string
	for _, at := range to {
		names = append(names, at.program)
	}
	return p.attachAll(spec, shared, names, func(program *ebpf.Program, i int) (link.Link, error) {
		return link.Tracepoint(to[i].group, to[i].name, program, nil)
	})
}

func (p *Programs) attachAll(spec *ebpf.CollectionSpec, shared map[string]*ebpf.Map, names []string, attach func(*ebpf.Program, int) (link.Link, error)) ([]link.Link, error) {
	spec = spec.Copy()
	maps.DeleteFunc(spec.Programs, func(name string, _ *ebpf.ProgramSpec) bool { return !slices.Contains(names, name) })
	var all *ebpf.Collection
	err := withMemory(func() (err error) {
		all, err = ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{MapReplacements: shared, Cache: p.types})
		return err
	})
	if err != nil {
		return nil, whyNot(err)
	}
	defer all.Close() // links keep their programs
	var links []link.Link
	for i, name := range names {
		l, err := attach(all.Programs[name], i)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("attach %s: %w", name, err), closeAll(links))
		}
		links = append(links, l)
	}
	return links, nil
}

func closeAll(links []link.Link) (err error) {
	for _, l := range links {
		err = errors.Join(err, l.Close())
	}
	return err
}
