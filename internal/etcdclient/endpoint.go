// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package etcdclient

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
)

// Endpoint is the address at which a member serves clients.
type Endpoint struct {
	// Scheme is "http", "https", "unix" or "unixs"; "" where none was given: then
	// the presence of TLS settings decides.
	Scheme string
	// Host and Port of a TCP endpoint. An IPv6 host has no brackets.
	Host string
	Port int
	// Path of the socket of a unix endpoint.
	Path string
}

// ParseEndpoint reads "host:port", "http://host:port", "https://host:port",
// "unix:///path" or "unixs:///path". The error says what is wrong with s, not
// what s was.
func ParseEndpoint(s string) (Endpoint, error) {
	scheme, rest, hasScheme := strings.Cut(s, "://")
	if !hasScheme {
		scheme, rest = "", s
	}
	switch scheme {
	case "unix", "unixs":
		if rest == "" {
			return Endpoint{}, fmt.Errorf("has no socket path; want %s:///path/to/socket", scheme)
		}
		return Endpoint{Scheme: scheme, Path: rest}, nil
	case "", "http", "https":
		return parseHostPort(scheme, rest)
	default:
		return Endpoint{}, fmt.Errorf("has the unknown scheme %q; want http, https or unix", scheme)
	}
}

func parseHostPort(scheme, s string) (Endpoint, error) {
	if i := strings.IndexAny(s, "/?#"); i >= 0 {
		if strings.Trim(s[i:], "/") != "" {
			return Endpoint{}, errors.New("has a path; want host:port or http(s)://host:port")
		}
		s = s[:i]
	}
	if strings.Contains(s, "@") {
		return Endpoint{}, errors.New("has a user; want host:port, and the user in username and password")
	}
	if strings.Contains(s, ",") {
		return Endpoint{}, errors.New("has a comma; write one list entry for each endpoint")
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return Endpoint{}, errors.New("is not host:port; want for example 10.0.0.1:2379 or [::1]:2379")
	}
	if host == "" {
		return Endpoint{}, errors.New("has no host; want for example localhost:2379")
	}
	if strings.ContainsAny(host, " \t\n") {
		return Endpoint{}, errors.New("has white space in its host")
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil || number == 0 {
		return Endpoint{}, fmt.Errorf("has the port %q; want a number from 1 to 65535", port)
	}
	return Endpoint{Scheme: scheme, Host: host, Port: int(number)}, nil
}

// Secure tells whether the scheme asks for TLS.
func (e Endpoint) Secure() bool { return e.Scheme == "https" || e.Scheme == "unixs" }

// Plain tells whether the scheme rules TLS out.
func (e Endpoint) Plain() bool { return e.Scheme == "http" || e.Scheme == "unix" }

// Address is host:port, or the path of the socket.
func (e Endpoint) Address() string {
	if e.Path != "" {
		return e.Path
	}
	return net.JoinHostPort(e.Host, strconv.Itoa(e.Port))
}

// Server gives the attributes server.address and server.port: host and port, or
// the path of the socket and 0. Both are empty for the zero Endpoint.
func (e Endpoint) Server() (address string, port int) {
	if e.Path != "" {
		return e.Path, 0
	}
	return e.Host, e.Port
}

// String is the endpoint in the form that ParseEndpoint reads.
func (e Endpoint) String() string {
	if e.Scheme == "" {
		return e.Address()
	}
	return e.Scheme + "://" + e.Address()
}

// withTLS decides the scheme of an endpoint that has none.
func (e Endpoint) withTLS(secure bool) Endpoint {
	if e.Scheme == "" {
		e.Scheme = "http"
		if secure {
			e.Scheme = "https"
		}
	}
	return e
}

// metricsURL is where the member serves its own metrics. The host of a unix
// endpoint is a placeholder: the transport dials the socket.
func (e Endpoint) metricsURL() string {
	u := url.URL{Scheme: "http", Host: e.Address(), Path: "/metrics"}
	if e.Secure() {
		u.Scheme = "https"
	}
	if e.Path != "" {
		u.Host = "localhost"
	}
	return u.String()
}
