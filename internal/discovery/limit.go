// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package discovery

import (
	"fmt"
	"io"
	"os"
)

// readLimited reads a whole file of at most limit bytes. Sizes of proc files
// are reported as zero, so only reading tells.
func readLimited(name string, limit int64) ([]byte, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return readAllLimited(file, limit)
}

// readAllLimited refuses a longer file as a whole: half of a list of settings
// can say the opposite of all of it.
func readAllLimited(file *os.File, limit int64) ([]byte, error) {
	content, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(content)) > limit {
		return nil, fmt.Errorf("read %s: longer than %d bytes", file.Name(), limit)
	}
	return content, nil
}
