// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package child

import "syscall"

// sysProcAttr ties the child's life to the thread that starts it, see Start.
func sysProcAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
