// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

const collectorUser = "otel"

// authFaults take the collector's rights away. Its connections pass a proxy, which cuts them: etcd checks nothing while
// a watch is open.
func authFaults() []scenario {
	prepare := func(w *world) {
		w.interpose(nil)
		w.config.Receiver["username"], w.config.Receiver["password"] = collectorUser, "secret"
		w.enableAuth()
	}
	return []scenario{
		{name: "token expires every 3 seconds", args: []string{"--auth-token-ttl=3"}, prepare: prepare, fault: func(w *world) {
			for range 2 {
				time.Sleep(4 * time.Second)
				w.proxies[0].Switch("")
				w.pause(500 * time.Millisecond)
			}
		}, want: noGaps},
		{name: "role revoked and granted", prepare: prepare, fault: func(w *world) {
			root := w.now().client
			_, err := root.RoleRevokePermission(w.context(), "reader", "\x00", "\x00")
			w.must(err)
			w.proxies[0].Switch("")
			w.pause(2 * time.Second)
			w.grant(root)
			w.pause(time.Second)
		}, want: noGaps},
	}
}

// enableAuth adds a user for the collector who may read all keys.
func (w *world) enableAuth() {
	client, err := w.cluster.Client()
	w.must(err)
	defer func() { _ = client.Close() }()
	_, err = client.RoleAdd(w.context(), "reader")
	w.must(err)
	w.grant(client)
	_, err = client.UserAdd(w.context(), collectorUser, "secret")
	w.must(err)
	_, err = client.UserGrantRole(w.context(), collectorUser, "reader")
	w.must(err)
	w.must(w.cluster.EnableAuth(w.context(), "root-secret"))
}

func (w *world) grant(client *clientv3.Client) {
	_, err := client.RoleGrantPermission(w.context(), "reader", "\x00", "\x00", clientv3.PermissionType(clientv3.PermRead))
	w.must(err)
}
