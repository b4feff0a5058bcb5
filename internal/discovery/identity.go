// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package discovery

import (
	"path"
	"slices"
	"strings"
)

// serverName is the base name of the executable that etcd's own releases,
// images and packages install.
const serverName = "etcd"

// isServer reports whether an executable started with argv is an etcd server.
// exe is the target of the exe link, "" if it could not be read; then argv[0],
// which anyone can set to anything, has to do.
func isServer(exe string, argv, names []string) bool {
	if exe == "" && len(argv) > 0 {
		exe = argv[0]
	}
	return isServerExecutable(exe, names) && !isProxy(argv)
}

// isServerExecutable judges by the name alone. The kernel marks the link of a
// binary that was replaced on disk, as every package upgrade does.
func isServerExecutable(exe string, names []string) bool {
	return slices.Contains(names, path.Base(onDisk(exe)))
}

// embeds reports whether an executable is one of those that have etcd in them.
func embeds(exe string, paths []string) bool {
	return slices.Contains(paths, onDisk(exe))
}

func onDisk(exe string) string { return strings.TrimSuffix(exe, " (deleted)") }

// isProxy reports whether the etcd binary was started as one of the two
// programs it also contains. They listen like a member but store nothing.
//
// Source: etcd server/etcdmain/main.go, Main.
func isProxy(argv []string) bool {
	return len(argv) > 1 && (argv[1] == "gateway" || argv[1] == "grpc-proxy")
}
