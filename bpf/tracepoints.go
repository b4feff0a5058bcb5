// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package bpf

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
)

// shared are the maps of Programs that programs on tracepoints use too. spec is
// theirs.
func (p *Programs) shared(spec *ebpf.CollectionSpec) map[string]*ebpf.Map {
	all := map[string]*ebpf.Map{}
	for _, name := range common {
		if spec.Maps[name] != nil {
			all[name] = p.loaded.Maps[name]
		}
	}
	spec.Maps[etcdMapRecords].MaxEntries = p.loaded.Maps[etcdMapRecords].MaxEntries()
	return all
}

// withOwn makes maps of spec and adds them to those that are shared.
func withOwn(spec *ebpf.CollectionSpec, shared map[string]*ebpf.Map, names ...string) (own []*ebpf.Map, err error) {
	for _, name := range names {
		var m *ebpf.Map
		if err = withMemory(func() (err error) { m, err = ebpf.NewMap(spec.Maps[name]); return err }); err != nil {
			return own, fmt.Errorf("map %s: %w", name, err)
		}
		shared[name], own = m, append(own, m)
	}
	return own, nil
}

// setAll sets constants of programs that are not loaded yet.
func setAll(spec *ebpf.CollectionSpec, constants map[string]any) error {
	for name, value := range constants {
		if err := spec.Variables[name].Set(value); err != nil {
			return fmt.Errorf("constant %s: %w", name, err)
		}
	}
	return nil
}

// whyNotBTF is why there are no programs on tracepoints with BTF, or nil. They are
// written for a ring: kernels without one have no BTF either, but where tests make
// them so.
func (p *Programs) whyNotBTF(err error) error {
	switch {
	case p.perf:
		return errNoRing
	case errors.Is(err, errNoBTF):
		return errNoBTF
	default:
		return nil
	}
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

// format is what tracefs says of the fields of an event.
type format []byte

func (t tracepoint) format() (format, error) {
	err := fs.ErrNotExist
	for _, root := range []string{"/sys/kernel/tracing", "/sys/kernel/debug/tracing"} {
		text, no := os.ReadFile(filepath.Join(root, "events", t.group, t.name, "format"))
		if no == nil {
			return text, nil
		}
		if errors.Is(err, fs.ErrNotExist) { // else there is one, which may not be read
			err = no
		}
	}
	return nil, err
}

// field is where an event has a field, and how many bytes it has.
func (f format) field(name string) (offset, size uint32, err error) {
	found := regexp.MustCompile(`field:[^;]*\b` + name + `(?:\[\d+\])?;\s*offset:(\d+);\s*size:(\d+);`).FindSubmatch(f)
	if found == nil {
		return 0, 0, fmt.Errorf("the event has no field %s", name)
	}
	for i, to := range []*uint32{&offset, &size} {
		n, err := strconv.ParseUint(string(found[i+1]), 10, 16) // no event is larger than a page
		if err != nil {
			return 0, 0, fmt.Errorf("field %s: %w", name, err)
		}
		*to = uint32(n)
	}
	return offset, size, nil
}

// fields sets numbers to where an event has the fields of their names.
func (t tracepoint) fields(all map[string]*uint32) error {
	text, err := t.format()
	for name, to := range all {
		if err == nil {
			*to, _, err = text.field(name)
		}
	}
	if err != nil {
		return fmt.Errorf("%s: %w", t.name, err)
	}
	return nil
}

// namedSpec is that of the programs on tracepoints that are found by name.
func (p *Programs) namedSpec() (*ebpf.CollectionSpec, map[string]*ebpf.Map, error) {
	load := loadNamed
	if p.perf {
		load = loadNamedperf
	}
	spec, err := load()
	if err != nil {
		return nil, nil, err
	}
	return spec, p.shared(spec), nil
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
	all, err := p.load(spec, shared, func(name string) bool { return slices.Contains(names, name) })
	if err != nil {
		return nil, whyNot(err)
	}
	defer all.Close()
	var links []link.Link
	for i, name := range names {
		l, err := attach(all.Programs[name], i)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("attach %s: %w", name, err), closeAll(links))
		}
		on := &onTracepoint{l, all.DetachProgram(name), p}
		p.onTracepoints[on.program] = true
		links = append(links, on)
	}
	return links, nil
}

// onTracepoint is a program that leaves the kernel with its link.
type onTracepoint struct {
	link.Link
	program *ebpf.Program
	of      *Programs
}

func (o *onTracepoint) Close() error {
	delete(o.of.onTracepoints, o.program)
	return errors.Join(o.Link.Close(), o.program.Close())
}

// Misses are how often the kernel has not run a program on a tracepoint, of those that
// are there now. With BTF that is so while the same one runs on that CPU: below an
// interrupt, or since Linux 7 where a thread was preempted in it. By name it is so
// while any program does that hangs on the kernel by perf, and is counted since Linux
// 6.7. The programs see all of the host: what was missed need not have been of etcd.
//
// Source: Linux kernel/trace/bpf_trace.c, __bpf_trace_run and trace_call_bpf.
func (p *Programs) Misses() (n uint64, err error) {
	for program := range p.onTracepoints {
		stats, err := program.Stats()
		if err != nil {
			return 0, err
		}
		n += stats.RecursionMisses
	}
	return n, nil
}

func closeAll(links []link.Link) (err error) {
	for _, l := range links {
		err = errors.Join(err, l.Close())
	}
	return err
}
