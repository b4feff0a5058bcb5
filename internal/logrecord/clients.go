// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package logrecord

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Clients are clients as etcd knows them, wherever they run: by the common name in
// their certificate, or by their address. The zero Clients: nothing is said of any.
type Clients struct {
	subjects []string
	networks []netip.Prefix
}

// maxSubject is how much the kernel tells of a common name, and as long as RFC 5280
// lets it be.
const maxSubject = 64

// Add takes a common name, an IP address or a network in CIDR notation. The error is
// a sentence that goes on after the text.
func (c *Clients) Add(text string) error {
	switch network, err := netip.ParsePrefix(text); {
	case err == nil && network != network.Masked():
		return fmt.Errorf("has bits of a host; want %s, or the address alone", network.Masked())
	case err == nil && network.Addr().Is4In6():
		return errors.New("is IPv4 within IPv6; want it in the notation of IPv4")
	case err == nil:
		c.networks = append(c.networks, network)
		return nil
	case strings.Contains(text, "/"):
		return errors.New("is no network in CIDR notation; want for example 10.0.0.0/24")
	}
	if addr, err := netip.ParseAddr(text); err == nil {
		addr = addr.Unmap().WithZone("")
		c.networks = append(c.networks, netip.PrefixFrom(addr, addr.BitLen()))
		return nil
	}
	_, err := netip.ParseAddrPort(text)
	switch {
	case err == nil:
		return errors.New("has a port, which is another one for each connection; want the address alone")
	case strings.Trim(text, "0123456789.") == "":
		return errors.New("is neither a common name nor an IP address; want for example kube-apiserver-etcd-client or 10.0.0.1")
	case len(text) > maxSubject:
		return fmt.Errorf("has %d bytes, but a common name has at most %d; want that of the certificate's subject alone", len(text), maxSubject)
	}
	c.subjects = append(c.subjects, text)
	return nil
}

// exclude tells whether a client is surely none of them. Of one without a common name
// that is not known if they have names: it may be that it could not be read. Nor of one
// on loopback by its address alone: an API server may run beside etcd.
func (c *Clients) exclude(a *Author) bool {
	addr := a.Client.Addr().Unmap().WithZone("")
	switch {
	case !addr.IsValid() || len(c.subjects)+len(c.networks) == 0:
		return false
	case slices.ContainsFunc(c.networks, func(of netip.Prefix) bool { return of.Contains(addr) }):
		return false
	case len(c.subjects) == 0:
		return !addr.IsLoopback()
	default:
		return a.Subject != "" && !slices.Contains(c.subjects, a.Subject)
	}
}
