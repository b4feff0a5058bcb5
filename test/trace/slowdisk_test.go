// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package trace

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/etcdreceiver/etcdreceiver/test/harness"
)

// slowDisk is an ext4 on a loop device. The kernel's I/O controller slows down
// the processes that are told to it, and nobody else: cgroup v1 or v2.
type slowDisk struct {
	t      *testing.T
	dir    string // where it is mounted
	device string // 7:0
	group  string // folder of the cgroup
	v2     bool
}

func newSlowDisk(t *testing.T) *slowDisk {
	t.Helper()
	harness.NeedRoot(t)
	d := &slowDisk{t: t, dir: t.TempDir()}
	image := filepath.Join(t.TempDir(), "image")
	require.NoError(t, os.WriteFile(image, nil, 0o600))
	require.NoError(t, os.Truncate(image, 4<<30)) // of which little is ever written
	d.must("mkfs.ext4", "-q", "-F", image)
	d.must("mount", "-o", "loop", image, d.dir)
	t.Cleanup(func() { waitFor(t, "umount", func() bool { return unix.Unmount(d.dir, 0) == nil }) })
	var stat unix.Stat_t
	require.NoError(t, unix.Stat(d.dir, &stat))
	d.device = fmt.Sprintf("%d:%d", unix.Major(stat.Dev), unix.Minor(stat.Dev))
	d.makeGroup()
	return d
}

func (d *slowDisk) must(name string, args ...string) {
	d.t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		harness.NotHere(d.t, fmt.Sprintf("a disk of its own needs %s: %v: %s", name, err, out))
	}
}

func (d *slowDisk) makeGroup() {
	const v1 = "/sys/fs/cgroup/blkio"
	parent := v1
	if _, err := os.Stat(filepath.Join(v1, "blkio.throttle.write_bps_device")); err != nil {
		parent, d.v2 = "/sys/fs/cgroup", true
		if controllers, _ := os.ReadFile(filepath.Join(parent, "cgroup.controllers")); !strings.Contains(string(controllers), "io") {
			harness.NotHere(d.t, "no I/O controller that could slow a disk down")
		}
		require.NoError(d.t, os.WriteFile(filepath.Join(parent, "cgroup.subtree_control"), []byte("+io"), 0o644))
	}
	group, err := os.MkdirTemp(parent, "slowdisk-")
	require.NoError(d.t, err)
	d.group = group
	d.t.Cleanup(func() { waitFor(d.t, "the cgroup to be empty", func() bool { return unix.Rmdir(group) == nil }) })
}

// limit lets a process write so many bytes a second from now on.
func (d *slowDisk) limit(pid, bytesPerSecond int) {
	d.t.Helper()
	file, line := "blkio.throttle.write_bps_device", fmt.Sprintf("%s %d", d.device, bytesPerSecond)
	if d.v2 {
		file, line = "io.max", fmt.Sprintf("%s wbps=%d", d.device, bytesPerSecond)
	}
	require.NoError(d.t, os.WriteFile(filepath.Join(d.group, file), []byte(line), 0o644))
	require.NoError(d.t, os.WriteFile(filepath.Join(d.group, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0o644))
}
