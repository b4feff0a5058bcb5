// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package gobinary

import (
	"errors"
	"fmt"
)

// Errors of this package wrap one of these, or the error of the io.ReaderAt.
// For one and the same file they are final: asking again gives the same.
var (
	// ErrNotELF means that the file is no ELF file at all.
	ErrNotELF = errors.New("not an ELF file")
	// ErrNotGo means that an ELF file was not made by the Go toolchain, or that
	// something removed what every Go program carries; the text says what.
	ErrNotGo = errors.New("not a Go executable")
	// ErrUnsupported means an architecture, a kind of ELF file or a Go version
	// that this package does not know.
	ErrUnsupported = errors.New("unsupported executable")
	// ErrCorrupt means that the file contradicts itself, ends early, or exceeds
	// a limit (limit.go) that no real program comes near.
	ErrCorrupt = errors.New("corrupt executable")
	// ErrNotFound means that the executable does not have what was asked for:
	// the compiler or the linker left it out, or this version never had it.
	ErrNotFound = errors.New("not found in the executable")
	// ErrAmbiguous means that several things fit what was asked for.
	ErrAmbiguous = errors.New("ambiguous in the executable")
)

// corrupt makes an ErrCorrupt that says what is wrong.
func corrupt(format string, values ...any) error {
	return fmt.Errorf("%w: %s", ErrCorrupt, fmt.Sprintf(format, values...))
}
