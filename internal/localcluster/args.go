// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package localcluster

import (
	"os"
	"runtime"
	"strings"
)

// args is the command line of m. members are all members of the cluster as m must know them at its first start;
// state is "new" for a member of the first hour, "existing" for a later one. etcd ignores both at a restart.
func (c *Cluster) args(m *Member, members []*Member, state string) []string {
	var initial []string
	for _, peer := range members {
		initial = append(initial, peer.Name+"="+peer.PeerURL)
	}
	args := []string{
		"--name=" + m.Name,
		"--data-dir=" + m.DataDir,
		"--listen-client-urls=" + m.ClientURL,
		"--advertise-client-urls=" + m.ClientURL,
		"--listen-peer-urls=" + m.PeerURL,
		"--initial-advertise-peer-urls=" + m.PeerURL,
		"--initial-cluster=" + strings.Join(initial, ","),
		"--initial-cluster-token=" + c.token,
		"--initial-cluster-state=" + state,
		"--logger=zap", // etcd 3.4 has another default
	}
	if c.tls != nil {
		args = append(args, "--client-cert-auth", "--trusted-ca-file="+c.tls.CAFile,
			"--cert-file="+c.tls.ServerCertFile, "--key-file="+c.tls.ServerKeyFile)
	}
	return append(args, c.cfg.ExtraArgs...)
}

// environment is ours without etcd's variables, which would override nothing but add settings we did not choose.
func environment() []string {
	var env []string
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "ETCD_") {
			env = append(env, kv)
		}
	}
	if runtime.GOARCH != "amd64" {
		env = append(env, "ETCD_UNSUPPORTED_ARCH="+runtime.GOARCH) // etcd 3.4 refuses to start on arm64 without it
	}
	return env
}
