// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !unix

package child

import "syscall"

func sysProcAttr() *syscall.SysProcAttr { return nil }
