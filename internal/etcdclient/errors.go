// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package etcdclient

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// ErrorType names an error for the attribute error.type: the gRPC code, or the
// kind of failure below gRPC.
func ErrorType(err error) string {
	var netErr net.Error
	code, ok := codeOf(err)
	switch {
	case err == nil:
		return ""
	case ok:
		return code.String()
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &netErr) && netErr.Timeout():
		return codes.DeadlineExceeded.String()
	case errors.Is(err, context.Canceled):
		return codes.Canceled.String()
	default:
		return codes.Unavailable.String()
	}
}

// codeOf gives the gRPC code of an error. clientv3 turns what a login answers into
// an error of its own, which is no gRPC status any more.
func codeOf(err error) (codes.Code, bool) {
	var login rpctypes.EtcdError
	if errors.As(err, &login) {
		return login.Code(), true
	}
	s, ok := status.FromError(err)
	return s.Code(), ok
}

// IsDenied tells whether etcd knows the caller's name (or its lack of one) and
// refuses. Such a member is alive.
func IsDenied(err error) bool {
	if err == nil {
		return false
	}
	switch code, _ := codeOf(err); code {
	case codes.PermissionDenied, codes.Unauthenticated:
		return true
	case codes.InvalidArgument:
		// "user name is empty": auth is on and no user is configured.
		return strings.Contains(err.Error(), "user name is empty") || strings.Contains(err.Error(), "authentication failed")
	}
	return false
}

// IsUntrusted tells whether the server's certificate was refused on our side.
func IsUntrusted(err error) bool {
	return err != nil && strings.Contains(err.Error(), "failed to verify certificate")
}

// isStaleToken tells whether etcd does not know the token of a call (any more).
func isStaleToken(err error) bool {
	return err != nil && (strings.Contains(err.Error(), "invalid auth token") || strings.Contains(err.Error(), "revision of auth store is old"))
}

// Explain adds to an error of a call what a user can do about it.
func Explain(err error, endpoint Endpoint, username string) error {
	remedy := remedy(err, endpoint, username)
	if remedy == "" {
		return fmt.Errorf("%s: %w", endpoint, err)
	}
	return fmt.Errorf("%s: %w; %s", endpoint, err, remedy)
}

func remedy(err error, endpoint Endpoint, username string) string {
	text := err.Error()
	var unknownAuthority x509.UnknownAuthorityError
	var notTLS tls.RecordHeaderError
	has := func(s string) bool { return strings.Contains(text, s) }
	switch {
	case has("lookup "):
		return "check endpoints and DNS: the host name cannot be resolved"
	case has("authentication failed"):
		return fmt.Sprintf("check username %q and password", username)
	case has("user name is empty"):
		return "auth is on: set username and password"
	case has("permission denied"):
		return fmt.Sprintf("grant the user a role that reads all keys, or all that are watched: etcdctl role add otel; etcdctl role grant-permission otel --prefix=true read ''; etcdctl user grant-role %s otel", username)
	case errors.As(err, &notTLS), has("first record does not look like a TLS handshake"), has("server gave HTTP response to HTTPS client"), has("handshake failed: EOF"), has("handshake failed: read tcp") && has("connection reset"):
		// etcd without TLS hangs up on a TLS client.
		return "the server speaks plain text: use http:// and no tls"
	case errors.As(err, &unknownAuthority), has("certificate signed by unknown authority"):
		return "set tls.ca_file to the CA of etcd's server certificate"
	case has("certificate is valid for"), has("certificate is not valid for"), has("doesn't contain any IP SANs"):
		return "use a host that the server's certificate names, or set tls.server_name_override to one"
	case has("remote error: tls: certificate required"), has("remote error: tls: bad certificate"), has("remote error: tls: unknown certificate authority"):
		// Which of them depends on the Go version that etcd was built with.
		return "etcd wants a client certificate of a CA that it trusts: set tls.cert_file and tls.key_file"
	case endpoint.Secure() && (has("broken pipe") || has("connection reset") || has("EOF")):
		// TLS 1.3 refuses a client after the handshake, and the alert can be lost.
		return "if etcd wants a client certificate, set tls.cert_file and tls.key_file; else it may not be an etcd client port"
	case endpoint.Plain() && (has("error reading server preface") || has("broken pipe") || has("connection reset") || has("EOF") || has("malformed HTTP response")):
		return "if the server speaks TLS, use https:// or set tls; else it may not be an etcd client port"
	case has("unknown service") || has("Unimplemented") || has("unexpected HTTP status code") || has("malformed header") || has("unexpected content-type") || has("http2: frame too large") || has("error reading server preface") || has("no application protocol"):
		return "this does not look like an etcd client port"
	case has("deadline exceeded"):
		return "no answer in time: the member may be overloaded or frozen, or this is not an etcd client port"
	case has("connection refused"), has("no such file or directory"):
		return "check endpoints, and that etcd runs"
	}
	return ""
}
