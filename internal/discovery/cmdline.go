// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package discovery

import (
	"slices"
	"strings"
)

// splitArguments cuts the content of /proc/PID/cmdline into arguments. Each
// ends with a NUL byte; a process that is gone, or a kernel thread, has none.
func splitArguments(cmdline string) []string {
	if cmdline == "" {
		return nil
	}
	return strings.Split(strings.TrimSuffix(cmdline, "\x00"), "\x00")
}

// parseFlags reads the known settings from arguments (without argv[0]).
//
// It follows Go's flag package, with one difference: it does not know which of
// the other flags take a value. It need not, because etcd refuses to start with
// a stray argument: what follows a flag without a dash is that flag's value.
//
// Source: Go flag/flag.go, parseOne; etcd server/etcdmain/config.go, parse.
func parseFlags(args []string) settings {
	given := settings{}
	for len(args) > 0 && args[0] != "--" {
		name, value, hasValue := cutFlag(args[0])
		args = args[1:]
		switch {
		case !slices.Contains(knownSettings, name):
		case hasValue:
			given[name] = value
		case name == settingClientCertAuth: // the only boolean: never takes the next argument
			given[name] = "true"
		case len(args) > 0:
			given[name] = args[0]
			args = args[1:]
		}
	}
	return given
}

// cutFlag splits "--name=value" and "-name". name is "" if arg is no flag.
func cutFlag(arg string) (name, value string, hasValue bool) {
	bare, isFlag := strings.CutPrefix(arg, "-")
	if !isFlag {
		return "", "", false
	}
	return strings.Cut(strings.TrimPrefix(bare, "-"), "=")
}
