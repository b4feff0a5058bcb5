// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package discovery

import (
	"cmp"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// maxListenURLs is how many URLs of one process are kept. Each is a listening
// socket; real servers have one per address of the host, so ten is already many.
const maxListenURLs = 64

// reach orders URLs by how surely they can be dialled from this host.
type reach int

const (
	reachLoopback reach = iota
	reachSocket         // the file may lie in another mount name space
	reachAddress        // may be filtered, or belong to an interface that is down
)

// listenURL is one address that can be dialled.
type listenURL struct {
	url   string
	reach reach
}

// listenURLs turns the value of listen-client-urls or listen-peer-urls into URLs to
// dial, in the order that Process.ClientURLs promises. What nobody can dial is left out:
// a port that etcd was free to choose, or a text with which it would not start.
func listenURLs(listen, cwd string) []string {
	var found []listenURL
	for text := range strings.SplitSeq(listen, ",") {
		if len(found) == maxListenURLs {
			break
		}
		u, ok := parseListenURL(strings.TrimSpace(text), cwd)
		if ok && !slices.Contains(found, u) {
			found = append(found, u)
		}
	}
	slices.SortFunc(found, func(a, b listenURL) int {
		return cmp.Or(cmp.Compare(a.reach, b.reach), cmp.Compare(a.url, b.url))
	})
	var urls []string
	for _, u := range found {
		urls = append(urls, u.url)
	}
	return urls
}

// parseListenURL reads one listening URL. ok is false if it cannot be dialled.
//
// Source: etcd client/pkg/types/urls.go, NewURLs.
func parseListenURL(text, cwd string) (_ listenURL, ok bool) {
	u, err := url.Parse(text)
	if err != nil {
		return listenURL{}, false
	}
	switch u.Scheme {
	case "http", "https":
		return parseTCP(u)
	case "unix", "unixs":
		return parseSocket(u, cwd)
	}
	return listenURL{}, false
}

// parseTCP keeps scheme, host and port; anything else a URL can carry (a user,
// a path) means nothing to a listener.
func parseTCP(u *url.URL) (_ listenURL, ok bool) {
	host, port, err := net.SplitHostPort(u.Host)
	if err != nil {
		return listenURL{}, false
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return listenURL{}, false
	}
	host, local := dialHost(host)
	dial := url.URL{Scheme: u.Scheme, Host: net.JoinHostPort(host, port)}
	return listenURL{url: dial.String(), reach: local}, true
}

// dialHost replaces a wildcard by the loopback of its family and says how far
// away the host is. Go listens on both families for an empty host; the older one
// is the one that every host has.
func dialHost(host string) (string, reach) {
	if host == "" {
		return "127.0.0.1", reachLoopback
	}
	if host == "localhost" {
		return host, reachLoopback
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return host, reachAddress
	}
	switch plain := addr.Unmap(); {
	case plain.IsUnspecified() && plain.Is4():
		return "127.0.0.1", reachLoopback
	case plain.IsUnspecified():
		return "::1", reachLoopback
	case plain.IsLoopback():
		return host, reachLoopback
	}
	return host, reachAddress
}

// parseSocket reads the URL of a unix socket. etcd takes host and path together
// as the file name, so "unix://localhost:2379" is a file in its directory.
//
// Source: etcd server/embed/etcd.go, resolveUrl.
func parseSocket(u *url.URL, cwd string) (_ listenURL, ok bool) {
	file := absolute(u.Host+u.Path, cwd)
	if file == "" {
		return listenURL{}, false
	}
	return listenURL{url: u.Scheme + "://" + file, reach: reachSocket}, true
}
