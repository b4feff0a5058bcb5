// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package etcdclient

import (
	"context"
	"net"

	"google.golang.org/grpc/credentials"
)

// namedCredentials expect the name of tls.server_name_override in the server's
// certificate. clientv3 gives gRPC the host of each endpoint, which wins over the
// ServerName of a tls.Config.
type namedCredentials struct {
	credentials.TransportCredentials
	name string
}

func (c namedCredentials) ClientHandshake(ctx context.Context, _ string, conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return c.TransportCredentials.ClientHandshake(ctx, c.name, conn)
}

// Clone keeps the name.
func (c namedCredentials) Clone() credentials.TransportCredentials {
	return namedCredentials{c.TransportCredentials.Clone(), c.name}
}
