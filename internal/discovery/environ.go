// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package discovery

import "strings"

// parseEnvironment reads the known settings from the content of
// /proc/PID/environ: what the process was started with.
//
// An empty variable counts as not set, and of two with the same name the first
// counts. Source: etcd pkg/flags/flag.go, setFlagFromEnv; Go syscall/env_unix.go,
// copyenv.
func parseEnvironment(environ string) settings {
	variables := make(map[string]string, len(knownSettings)) // to setting name
	for _, name := range knownSettings {
		variables[variableName(name)] = name
	}
	given := settings{}
	for entry := range strings.SplitSeq(environ, "\x00") {
		key, value, _ := strings.Cut(entry, "=")
		name, known := variables[key]
		if !known {
			continue
		}
		delete(variables, key)
		if value != "" {
			given[name] = value
		}
	}
	return given
}

// variableName is the environment variable of a setting.
func variableName(setting string) string {
	return "ETCD_" + strings.ToUpper(strings.ReplaceAll(setting, "-", "_"))
}
