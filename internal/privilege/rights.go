// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package privilege

import (
	"errors"
	"slices"
	"sync"
)

// The rights that only tracing needs can be taken from the rest of the process.
// Capabilities are those of a thread, so With lends them to the thread that traces, for
// as long as it does, and no other thread can use them: what another component is
// tricked into opening, and whatever program it starts, has none of them.
//
// They stay permitted, or no thread could have them back for the next etcd that begins,
// or the next receiver of the same process. So it is no wall against code that runs in
// this process and asks the kernel for them itself; threads share their memory, so
// nothing would be.

// tracing are the capabilities that are of no use but to look into other processes and
// into the kernel. Others, such as CAP_DAC_READ_SEARCH, are what a collector reads files
// with.
var tracing = []struct {
	number int
	name   string
}{
	{bpf, "CAP_BPF"}, {perfmon, "CAP_PERFMON"}, {sysPtrace, "CAP_SYS_PTRACE"}, {sysAdmin, "CAP_SYS_ADMIN"}, {sysResource, "CAP_SYS_RESOURCE"},
}

// lent are the capabilities that were dropped, by number: With has them. Written while
// nobody is in With.
var lent struct {
	sync.RWMutex
	caps uint64
}

// With calls f, which may use the capabilities that Drop took. f must not call With or
// Drop; goroutines that it begins have no more rights than others.
func With(f func()) {
	lent.RLock()
	defer lent.RUnlock()
	if lent.caps == 0 {
		f()
		return
	}
	with(lent.caps, f)
}

// ErrCgo is that a process with cgo cannot change the rights of all of its threads: the
// C library may have begun some that Go does not know.
var ErrCgo = errors.New("the collector is built with cgo, which cannot change the rights of all threads: build it with CGO_ENABLED=0")

// Dropped is what Drop has taken.
type Dropped struct {
	Capabilities []string // by name
	Programs     bool     // from programs that the process starts as well
}

// Drop takes the capabilities that only tracing needs from the effective and the
// inheritable set of all threads, the ambient set with it, and from the bounding set
// where it may. It happens once in the life of a process: a second call, and one in a
// process that has none of them, drops nothing. With an error all is as before.
func Drop() (Dropped, error) {
	lent.Lock()
	defer lent.Unlock()
	if lent.caps != 0 {
		return Dropped{}, nil
	}
	var err error
	var d Dropped
	if lent.caps, d.Programs, err = drop(); err != nil {
		return Dropped{}, err
	}
	for _, c := range tracing {
		if lent.caps>>c.number&1 == 1 {
			d.Capabilities = append(d.Capabilities, c.name)
		}
	}
	slices.Sort(d.Capabilities)
	return d, nil
}
