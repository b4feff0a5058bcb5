// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Package guest makes a test program all that runs in a virtual machine, besides
// the kernel: the program is its /init.
package guest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Exit begins the last line of a machine: the exit code of the tests follows.
const Exit = "the tests have ended with exit code"

// Inside tells whether this machine is one of test/kernels, where nobody else puts
// programs into the kernel.
func Inside() bool { return os.Getenv(inside) != "" }

const inside = "ETCDRECEIVER_GUEST"

// Boot returns at once unless this is the first process of a machine. There it
// brings the machine up, runs this program once more as an ordinary process, and
// switches the machine off.
func Boot() {
	if os.Getpid() != 1 {
		return
	}
	code := 1
	if err := prepare(); err != nil {
		fmt.Println(err)
	} else {
		code = run()
	}
	fmt.Println(Exit, code)
	time.Sleep(100 * time.Millisecond) // the console is slow
	fmt.Println(unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART))
	select {} // the end of process 1 is a panic of the kernel
}

// prepare mounts what a distribution would and takes up the loopback device.
func prepare() error {
	var all error
	for _, m := range []struct{ what, where string }{
		{"proc", "/proc"},
		{"sysfs", "/sys"},
		{"devtmpfs", "/dev"},
		{"tmpfs", "/dev/shm"},
		{"tmpfs", "/tmp"},
		{"tracefs", "/sys/kernel/tracing"},
		{"bpf", "/sys/fs/bpf"},
		{"securityfs", "/sys/kernel/security"},
	} {
		_ = os.MkdirAll(m.where, 0o755) // a mount point of the kernel's own is there
		if err := unix.Mount(m.what, m.where, m.what, 0, ""); err != nil {
			all = errors.Join(all, fmt.Errorf("mount %s on %s: %w", m.what, m.where, err))
		}
	}
	_ = os.MkdirAll("/etc", 0o755)
	return errors.Join(all, os.WriteFile("/etc/hosts", []byte("127.0.0.1 localhost\n"), 0o644), Loopback(), disk())
}

// Loopback takes up the loopback device.
func Loopback() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	lo.SetUint16(unix.IFF_UP)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo); err != nil {
		return fmt.Errorf("lo: %w", err)
	}
	return nil
}

// Modules has the kernel's modules that a machine loads, named so that their order
// is the one in which they need each other.
const Modules = "/modules"

const dataDir = "/data"

// disk mounts the disk of the machine, an ext4 whose driver is a module of most
// kernels.
func disk() error {
	entries, err := os.ReadDir(Modules)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, e := range entries {
		image, err := os.ReadFile(filepath.Join(Modules, e.Name()))
		if err == nil {
			err = unix.InitModule(image, "")
		}
		if err != nil { // of one of several that do the same, for other processors
			fmt.Printf("module %s: %v\n", e.Name(), err)
		}
	}
	if err := os.MkdirAll(dataDir, 0o755); err != nil {
		return err
	}
	for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		err := unix.Mount("/dev/vda", dataDir, "ext4", 0, "")
		if err == nil || time.Since(began) > 5*time.Second {
			return err
		}
	}
}

// run runs this program with the arguments that the kernel's command line has.
func run() int {
	tests := exec.Command("/proc/self/exe", os.Args[1:]...)
	tests.Stdout, tests.Stderr = os.Stdout, os.Stderr
	tests.Env = append(os.Environ(), inside+"=1", "CI=1", "ETCD_BIN_DIR=/etcd", "TMPDIR="+dataDir)
	if err := tests.Run(); err != nil {
		fmt.Println(strings.TrimSpace(err.Error()))
		return max(1, tests.ProcessState.ExitCode())
	}
	return 0
}
