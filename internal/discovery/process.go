// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package discovery

import "path"

// Process is one etcd server running on this host, as its own settings describe
// it. Paths are those the process itself uses: open them with Scanner.ReadFile.
//
// A field that depends on something unreadable has its zero value, and Unread
// says why. So ClientURLs may be empty for a process that certainly listens.
type Process struct {
	PID     int
	Name    string // --name
	DataDir string // --data-dir, absolute

	// ClientURLs are where it listens for clients, ready to dial: a wildcard
	// host is replaced by the loopback of its family. Loopback comes first,
	// then unix sockets (with absolute path), then other addresses, each group
	// in alphabetical order. All of them lead to this one member, and etcd
	// allows http and https side by side.
	ClientURLs []string

	// PeerURLs are where it listens for other members, likewise.
	PeerURLs []string

	TrustedCAFile  string // --trusted-ca-file, absolute; "" if not given
	CertFile       string // --cert-file, absolute; "" if not given
	ClientCertAuth bool   // --client-cert-auth

	// Unread is why a part of the settings is unknown, nil if all were read.
	// errors.Is(Unread, fs.ErrPermission) means that root, or the user of etcd,
	// would see more. It carries paths and no setting's value.
	Unread error
}

// describe turns settings into a Process. cwd is the working directory of the
// process and the base of relative paths; if it is "", they stay unknown,
// because a relative path would be taken for one below our own directory.
func describe(given settings, cwd string) Process {
	return Process{
		Name:           given[settingName],
		DataDir:        absolute(given[settingDataDir], cwd),
		ClientURLs:     listenURLs(given[settingListenClientURLs], cwd),
		PeerURLs:       listenURLs(given[settingListenPeerURLs], cwd),
		TrustedCAFile:  absolute(given[settingTrustedCAFile], cwd),
		CertFile:       absolute(given[settingCertFile], cwd),
		ClientCertAuth: given.isTrue(settingClientCertAuth),
	}
}

// absolute resolves name against cwd; "" if name is empty or cwd is needed and
// unknown. It uses path, not filepath: these are Linux paths on every platform.
func absolute(name, cwd string) string {
	switch {
	case name == "", path.IsAbs(name):
		return name
	case cwd == "":
		return ""
	}
	return path.Join(cwd, name)
}
