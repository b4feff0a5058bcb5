// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

// Package privilege says in words why the kernel does not let this process trace
// others, and takes the rights to do so from all of the process that does not. The kernel
// itself says EPERM for everything, and libraries guess.
package privilege

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// Host is where the facts are read: the zero value is this host.
type Host struct {
	Proc, Sys string // "/proc" and "/sys" if empty
}

// Numbers of capabilities: include/uapi/linux/capability.h.
const (
	dacOverride   = 1
	dacReadSearch = 2
	sysPtrace     = 19
	sysAdmin      = 21
	sysResource   = 24
	perfmon       = 38
	bpf           = 39
)

// ErrPerf is of a probe that perf has refused, by which it is put in where Linux has no
// uprobe_multi (6.6). perf asks for CAP_SYS_ADMIN: since CVE-2025-38466, and Debian's for
// longer, whose kernel.perf_event_paranoid is 3.
var ErrPerf = errors.New("perf refuses the probe")

// Explain adds to an error of loading or attaching what is missing and what would
// give it. An error that has to do with none of it stays as it is.
func (h Host) Explain(err error) error {
	if err == nil {
		return nil
	}
	var reasons []string
	if errors.Is(err, fs.ErrPermission) {
		reasons = h.forbidden(err)
	}
	// The kernel says EINVAL of it: it does not have the function then.
	if (len(reasons) > 0 || errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EINVAL)) && h.lockdown() == "confidentiality" {
		reasons = append(reasons, "the kernel's lockdown is `confidentiality`, which forbids reading memory with eBPF: boot with lockdown=integrity")
	}
	if len(reasons) == 0 {
		return err
	}
	return fmt.Errorf("%s (the kernel says: %w)", strings.Join(reasons, "; "), plain{err})
}

// plain is an error without the hints that a library appends after a parenthesis,
// such as cilium/ebpf's that the limit of locked memory may be too low: it is said
// of every EPERM.
type plain struct{ error }

func (p plain) Error() string {
	text, _, _ := strings.Cut(p.error.Error(), " (MEMLOCK")
	return text
}

func (p plain) Unwrap() error { return p.error }

func (h Host) forbidden(err error) []string {
	have, seccomp, ok := h.self()
	if !ok {
		return nil
	}
	if h.ownUsers() {
		return []string{"the collector has a name space of users of its own, whose rights the kernel does not ask for: let it have those of the host, in Kubernetes with hostUsers: true"}
	}
	var path *fs.PathError
	if errors.As(err, &path) && strings.Contains(path.Path, "/tracing/") {
		if have(dacReadSearch) || have(dacOverride) {
			return nil
		}
		return []string{"the collector lacks CAP_DAC_READ_SEARCH: run it as root, or give it that too, by which another user reads " + path.Path}
	}
	var lacks []string
	admin, byPerf := have(sysAdmin), errors.Is(err, ErrPerf)
	for _, c := range []struct {
		number int
		name   string
		asked  bool
	}{{bpf, "CAP_BPF", !admin}, {perfmon, "CAP_PERFMON", !admin}, {sysPtrace, "CAP_SYS_PTRACE", !byPerf}, {sysAdmin, "CAP_SYS_ADMIN", byPerf}} {
		if c.asked && !have(c.number) {
			lacks = append(lacks, c.name)
		}
	}
	var reasons []string
	if len(lacks) > 0 {
		rights := "CAP_BPF and CAP_PERFMON"
		if byPerf || h.before(6, 6) {
			rights = "CAP_BPF, CAP_PERFMON and, before Linux 6.6, CAP_SYS_ADMIN"
		}
		reasons = append(reasons, fmt.Sprintf("the collector lacks %s: run it as root, or give it %s, and CAP_SYS_PTRACE to look into an etcd of another user", strings.Join(lacks, ", "), rights))
	}
	// CAP_SYS_PTRACE is not needed for an etcd of the same user: what follows may be why, and is EPERM.
	known := slices.ContainsFunc(lacks, func(name string) bool { return name != "CAP_SYS_PTRACE" })
	if known || !errors.Is(err, syscall.EPERM) {
		return reasons
	}
	if seccomp {
		reasons = append(reasons, "a seccomp filter may forbid the system calls bpf and perf_event_open: in a container use a profile that allows them")
	}
	if limit := h.lockedMemory(); !byPerf && limit != "" && !have(sysResource) {
		reasons = append(reasons, "before Linux 5.11 programs in the kernel count as locked memory, of which the collector may have "+limit+
			" bytes: if that is why, give it CAP_SYS_RESOURCE, or set LimitMEMLOCK=infinity in its systemd unit")
	}
	return reasons
}

// ownUsers tells whether this process is in another name space of users than the host's.
func (h Host) ownUsers() bool {
	text, err := os.ReadFile(filepath.Join(or(h.Proc, "/proc"), "thread-self", "uid_map"))
	return err == nil && !slices.Equal(strings.Fields(string(text)), []string{"0", "0", "4294967295"})
}

// self is what this thread may do: its effective capabilities, and whether a seccomp
// filter is on it.
func (h Host) self() (have func(int) bool, seccomp, ok bool) {
	file, err := os.Open(filepath.Join(or(h.Proc, "/proc"), "thread-self", "status"))
	if err != nil {
		return nil, false, false
	}
	defer func() { _ = file.Close() }()
	var caps uint64
	for lines := bufio.NewScanner(file); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), ":")
		switch value = strings.TrimSpace(value); name {
		case "CapEff":
			caps, err = strconv.ParseUint(value, 16, 64)
			ok = err == nil
		case "Seccomp":
			seccomp = value == "2"
		}
	}
	return func(number int) bool { return caps>>number&1 == 1 }, seccomp, ok
}

// lockedMemory is how much of it this process may have, "" if there is no limit or
// the kernel does not count programs as such.
func (h Host) lockedMemory() string {
	if !h.before(5, 11) {
		return ""
	}
	limits, err := os.ReadFile(filepath.Join(or(h.Proc, "/proc"), "thread-self", "limits"))
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(limits)) {
		if rest, ok := strings.CutPrefix(line, "Max locked memory "); ok {
			if hard := strings.Fields(rest); len(hard) > 1 && hard[1] != "unlimited" {
				return hard[1]
			}
		}
	}
	return ""
}

// before tells whether the kernel is older, for words alone: what it has is found by
// trying it.
func (h Host) before(major, minor int) bool {
	release, err := os.ReadFile(filepath.Join(or(h.Proc, "/proc"), "sys", "kernel", "osrelease"))
	var is [2]int
	if _, none := fmt.Sscanf(string(release), "%d.%d", &is[0], &is[1]); err != nil || none != nil {
		return false
	}
	return is[0] < major || is[0] == major && is[1] < minor
}

// lockdown is the chosen one of `none [integrity] confidentiality`.
func (h Host) lockdown() string {
	text, err := os.ReadFile(filepath.Join(or(h.Sys, "/sys"), "kernel", "security", "lockdown"))
	if err != nil {
		return ""
	}
	_, rest, _ := strings.Cut(string(text), "[")
	chosen, _, _ := strings.Cut(rest, "]")
	return chosen
}

func or(path, otherwise string) string {
	if path == "" {
		return otherwise
	}
	return path
}
