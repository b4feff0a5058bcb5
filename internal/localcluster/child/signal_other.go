// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !unix

package child

import (
	"errors"
	"os"
)

// terminate is the only signal this operating system knows.
var terminate = os.Kill

// Pause is not possible on this operating system.
func (p *Process) Pause() error { return errors.ErrUnsupported }

// Resume is not possible on this operating system.
func (p *Process) Resume() error { return errors.ErrUnsupported }
