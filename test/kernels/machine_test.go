// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package kernels

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/etcdreceiver/etcdreceiver/test/kernels/guest"
)

// patience is for a host that is busy: two machines on two cores take eight to ten minutes for all their boots.
const patience = 15 * time.Minute

// emulators are commands of qemu without its files and the kernel's command line.
// Software emulation, and in one thread: with more of them a kernel that patches
// its own text, as it does when a tracepoint is switched on, hangs now and then.
var emulators = map[string][]string{
	"amd64": {"qemu-system-x86_64", "-M", "q35", "-cpu", "max"},
	"arm64": {"qemu-system-aarch64", "-M", "virt", "-cpu", "neoverse-n1"}, // `max` is several times slower
}

// The kernel's command line. no_timer_check: on a busy host the kernel thinks that
// its timer does not work.
var commandLines = map[string]string{"amd64": "console=ttyS0 no_timer_check", "arm64": "console=ttyAMA0"}

// boot runs the program of test/trace as the only one of a machine with this kernel,
// and gives what it printed. settings are more words of the kernel's command line. A
// test that fails there fails here.
func boot(t *testing.T, k kernel, settings, tests string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	emulator := emulators[k.arch]
	cmd := exec.CommandContext(ctx, emulator[0], append(emulator[1:],
		"-accel", "tcg,thread=single", "-smp", "2", "-m", "1536",
		"-nodefaults", "-display", "none", "-monitor", "none", "-serial", "stdio", "-no-reboot",
		"-drive", "if=virtio,format=raw,cache=unsafe,file="+disk(t),
		"-kernel", filepath.Join(k.folder, "vmlinuz"), "-initrd", initramfs(t, k, filepath.Join(cache(), "trace-"+k.arch+".test")),
		// What follows -- are the arguments of /init.
		"-append", fmt.Sprintf("%s %s reboot=t panic=-1 oops=panic loglevel=4 -- -test.run=%s -test.v -test.timeout=14m", commandLines[k.arch], settings, tests))...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	printed := strings.ReplaceAll(out.String(), "\r", "")
	if err != nil || !strings.Contains(printed, fmt.Sprintln(guest.Exit, 0)) {
		t.Errorf("%v; the machine printed:\n%s", err, printed)
	}
	return printed
}

// disk is an empty ext4, of which little is ever written.
func disk(t *testing.T) string {
	t.Helper()
	image := filepath.Join(t.TempDir(), "disk")
	require.NoError(t, os.WriteFile(image, nil, 0o600))
	require.NoError(t, os.Truncate(image, 2<<30))
	out, err := exec.CommandContext(t.Context(), "/sbin/mkfs.ext4", "-q", "-F", image).CombinedOutput()
	require.NoError(t, err, "%s", out)
	return image
}

// initramfs has the program as /init, an etcd, one of 3.4, and the kernel's modules.
func initramfs(t *testing.T, k kernel, program string) string {
	t.Helper()
	file, err := os.Create(filepath.Join(t.TempDir(), "initramfs"))
	require.NoError(t, err)
	a := &archive{to: file, seen: map[string]bool{}}
	add := func(name, from string) {
		content, err := os.ReadFile(from)
		require.NoError(t, err)
		a.file(name, content)
	}
	add("init", program)
	add("etcd/3.6/etcd", filepath.Join(cache(), "etcd-"+k.arch, "etcd"))
	old := filepath.Join(cache(), "etcd-3.4-"+k.arch)
	_ = filepath.WalkDir(old, func(path string, d fs.DirEntry, err error) error { // none where it cannot be had
		if err == nil && !d.IsDir() {
			add(strings.TrimPrefix(path, old+"/"), path)
		}
		return err
	})
	for i, m := range modules(t, k) {
		add(fmt.Sprintf("%s/%02d-%s", guest.Modules[1:], i, filepath.Base(m)), m)
	}
	require.NoError(t, a.end())
	require.NoError(t, file.Close())
	return file.Name()
}
