// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package privilege

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

const setPcap = 8

// sets are the capabilities of a thread, the lower 32 and the upper.
type sets [2]unix.CapUserData

var header = unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3} // of the thread that asks

func own() (s sets, err error) {
	err = unix.Capget(&header, &s[0])
	return s, err
}

func (s sets) set() error { return unix.Capset(&header, &s[0]) }

func (s *sets) effective() uint64 { return uint64(s[1].Effective)<<32 | uint64(s[0].Effective) }

func (s *sets) add(caps uint64) {
	s[0].Effective |= uint32(caps)
	s[1].Effective |= uint32(caps >> 32)
}

func (s *sets) remove(caps uint64) {
	for i, part := range []uint32{uint32(caps), uint32(caps >> 32)} {
		s[i].Effective &^= part
		s[i].Inheritable &^= part
	}
}

// with raises capabilities on a thread of its own. Go begins no thread from one that is
// locked, so none is born with them.
func with(caps uint64, f func()) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before, err := own()
	if err == nil {
		raised := before
		raised.add(caps)
		err = raised.set()
	}
	if err == nil {
		defer func() {
			if err := before.set(); err != nil { // which takes no right
				panic(fmt.Sprintf("capabilities cannot be given back: %v", err))
			}
		}()
	}
	f() // where it could not be raised, the kernel tells f
}

func drop() (caps uint64, programs bool, err error) {
	s, err := own()
	if err != nil {
		return 0, false, fmt.Errorf("read the capabilities: %w", err)
	}
	for _, c := range tracing {
		caps |= 1 << c.number & s.effective()
	}
	if caps == 0 {
		return 0, false, nil
	}
	bounds := s.effective()>>setPcap&1 == 1
	s.remove(caps)
	if err := everywhere(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&s[0]))); err != nil {
		return 0, false, fmt.Errorf("drop capabilities: %w", err)
	}
	// What root executes has all that is in the bounding set; what others do, nothing
	// without the ambient set.
	for _, c := range tracing {
		if bounds && caps>>c.number&1 == 1 {
			bounds = everywhere(unix.SYS_PRCTL, unix.PR_CAPBSET_DROP, uintptr(c.number)) == nil
		}
	}
	return caps, bounds || os.Geteuid() != 0, nil
}

// everywhere makes a system call on all threads.
//
//go:uintptrescapes
func everywhere(trap, a, b uintptr) error {
	_, _, errno := syscall.AllThreadsSyscall(trap, a, b, 0)
	switch {
	case errors.Is(errno, syscall.ENOTSUP):
		return ErrCgo
	case errno != 0:
		return errno
	default:
		return nil
	}
}
