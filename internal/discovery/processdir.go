// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package discovery

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// maxProcBytes limits cmdline and environ. The kernel allows 2 MiB for both
// together under the usual stack limit of 8 MiB; those of etcd are a few KiB,
// more where Kubernetes adds variables for each of a thousand services.
const maxProcBytes = 2 << 20

// maxConfigBytes limits the configuration file. etcd's sample has 6 KiB. The
// YAML parser compares every key with every other, so that a file made of
// nothing but keys costs time with the square of its size: 0.1 s here.
const maxConfigBytes = 64 << 10

// processDir is the directory of one process in the proc file system.
type processDir string

// inspect reads what the process is and how it was set up. ok is false if it is
// not an etcd server or has ended.
func (d processDir) inspect(s Scanner) (_ Process, ok bool) {
	names := s.names()
	exe, _ := os.Readlink(d.file("exe")) // "" if not ours to read, or a kernel thread
	if exe != "" && !isServerExecutable(exe, names) {
		return Process{}, embeds(exe, s.Paths) // most processes end here, with one system call
	}
	argv, argvErr := d.arguments()
	if !isServer(exe, argv, names) || (len(argv) == 0 && argvErr == nil) {
		return Process{}, false // no arguments: it has ended and waits for its parent
	}
	cwd, cwdErr := os.Readlink(d.file("cwd"))
	if cwdErr != nil {
		cwd, cwdErr = "", fmt.Errorf("read its working directory: %w", cwdErr)
	}
	given, err := d.settings(argv, cwd)
	if err = errors.Join(argvErr, err); err == nil {
		given = given.withDefaults()
	}
	p := describe(given, cwd)
	if p.Unread = errors.Join(err, cwdErr); p.Unread != nil && d.hasEnded() {
		return Process{}, false
	}
	return p, true
}

// settings collects what the process was given, in etcd's order of precedence.
// With an error it still returns what was readable.
//
// Source: etcd server/etcdmain/config.go, parse; pkg/flags/flag.go,
// SetFlagsFromEnv. The same from etcd 3.4 to 3.7.
func (d processDir) settings(argv []string, cwd string) (settings, error) {
	var given settings
	if len(argv) > 0 {
		given = parseFlags(argv[1:])
	}
	if file := given[settingConfigFile]; file != "" {
		return d.configFile(file, cwd)
	}
	environ, err := readLimited(d.file("environ"), maxProcBytes)
	if err != nil {
		return given, fmt.Errorf("read its environment: %w", err)
	}
	variables := parseEnvironment(string(environ))
	if file := variables[settingConfigFile]; file != "" {
		return d.configFile(file, cwd)
	}
	return given.over(variables), nil
}

// configFile reads the settings from a configuration file, beside which etcd
// ignores flags and variables. If it is unreadable, nothing is known.
func (d processDir) configFile(name, cwd string) (settings, error) {
	content, err := d.readFile(absolute(name, cwd), maxConfigBytes)
	if err != nil {
		return nil, fmt.Errorf("read its configuration file %q: %w", name, err)
	}
	given, err := parseConfigFile(content)
	if err != nil {
		return given, fmt.Errorf("read its configuration file %q: %w", name, err)
	}
	return given, nil
}

func (d processDir) arguments() ([]string, error) {
	cmdline, err := readLimited(d.file("cmdline"), maxProcBytes)
	if err != nil {
		return nil, fmt.Errorf("read its command line: %w", err)
	}
	return splitArguments(string(cmdline)), nil
}

func (d processDir) hasEnded() bool {
	_, err := os.Stat(string(d))
	return errors.Is(err, fs.ErrNotExist)
}

func (d processDir) file(name string) string { return filepath.Join(string(d), name) }
