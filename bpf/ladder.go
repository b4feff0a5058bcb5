// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package bpf

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"
)

// Which of two ways is taken is decided by trying, never by the version of the
// kernel: distributions carry back what they need. What follows is of older
// kernels.

var (
	errNoRing = errors.New("this kernel has no ring buffer for BPF: Linux 5.8 and later have it")
	errTooOld = errors.New("this kernel has no ring buffer for BPF, which Linux 5.8 and later have, and cannot run the programs that do without it, which take Linux 5.3 at least: a newer kernel is needed")
	errNoBTF  = errors.New("this kernel has no BTF, by which its own data is read: /sys/kernel/btf/vmlinux is missing")
)

// withMemory does what takes memory of the kernel. Before Linux 5.11 that counts as
// memory which this process has locked, of which 64 KiB are usual.
func withMemory(load func() error) error {
	err := load()
	if !errors.Is(err, unix.EPERM) {
		return err
	}
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_MEMLOCK, &limit) != nil || limit.Cur == unix.RLIM_INFINITY {
		return err
	}
	all := unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY}
	if unix.Setrlimit(unix.RLIMIT_MEMLOCK, &all) != nil {
		return err
	}
	return load()
}

// whyNot says what a kernel lacks that does not have what was asked for.
func whyNot(err error) error {
	if !errors.Is(err, ebpf.ErrNotSupported) {
		return err
	}
	if _, none := btf.LoadKernelSpec(); errors.Is(none, ebpf.ErrNotSupported) {
		return errNoBTF
	}
	return err
}

// whyNotOld says of a kernel without a ring buffer that it has not got what the
// programs need even so: read-only data since 5.2, loops that end since 5.3.
func whyNotOld(err error) error {
	var refused *ebpf.VerifierError
	if errors.Is(err, ebpf.ErrNotSupported) || errors.As(err, &refused) {
		return fmt.Errorf("%w (%w)", errTooOld, err)
	}
	return err
}
