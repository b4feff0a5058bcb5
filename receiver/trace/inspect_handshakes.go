// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package trace

import (
	"errors"
	"fmt"
	"strings"

	"github.com/etcdreceiver/etcdreceiver/bpf"
)

// handshakes finds the functions that etcd calls for a TLS handshake that has failed:
// closures of embed.(*Config).setupLogging, which Go names by what it inlines, and in
// 3.4 a function for its other logger. They are known by their arguments, the
// connection and the error; no other closure there has as many.
func (f *finder) handshakes() {
	const argsHandshake = 24
	err := func() error {
		if err := f.handshakeTypes(); err != nil {
			return err
		}
		all, err := f.all()
		if err != nil {
			return err
		}
		var probes []bpf.Probe
		for _, function := range all {
			logs := strings.Contains(function.Name, fnHandshakeLogger) || isCalled(function.Name, fnHandshakeLogged)
			if !logs || function.Args != argsHandshake {
				continue
			}
			at, _, err := f.placeIn(bpf.HandshakeFailed, function)
			if err != nil {
				return err
			}
			probes = append(probes, at)
		}
		if len(probes) == 0 {
			return fmt.Errorf("%w that etcd calls for them", errNoFunction)
		}
		f.x.probes = append(f.x.probes, probes...)
		return nil
	}()
	if err != nil {
		f.lack("TLS handshakes that failed", err)
	}
}

// handshakeTypes finds the way from a connection of TLS to its ends, and the errors
// that are told apart.
func (f *finder) handshakeTypes() error {
	b := &f.x.binary
	var err error
	var fd, text uint16
	f.set(&err, &b.TlsConn, "tls.Conn", "conn")
	f.set(&err, &b.FdLocal, "net.netFD", "laddr")
	f.set(&err, &b.FdRemote, "net.netFD", "raddr")
	f.set(&err, &b.TcpPort, "net.TCPAddr", "Port")
	f.set(&err, &fd, "net.TCPConn", "conn.fd")
	f.set(&err, &text, "net.OpError", "Op")
	if err == nil && (fd != 0 || text != 0) {
		err = errors.New("connections do not lie as expected")
	}
	tcp, record, hostname := f.typeOf(&err, "net.TCPConn"), f.typeOf(&err, "tls.RecordHeaderError"), f.typeOf(&err, "x509.HostnameError")
	addr, plain, op := f.typeOf(&err, "net.TCPAddr"), f.typeOf(&err, "errors.errorString"), f.typeOf(&err, "net.OpError")
	if err != nil {
		return err
	}
	b.TcpConn, b.TcpAddr, b.PlainError, b.OpError = tcp.Pointer, addr.Pointer, plain.Pointer, op.Pointer
	b.RecordError, b.HostnameError = record.Addr, hostname.Addr
	if kept, err := f.file.Type("transport.keepAliveConn", "TCPConn"); err == nil && kept.Fields[0].Name == "TCPConn" { // 3.4 wraps none
		b.TcpKept = kept.Pointer
	}
	if permanent, err := f.file.Type("tls.permanentError"); err == nil { // before, errors are as they are
		b.PermanentError = permanent.Pointer
	}
	if certificate, err := f.file.Type("tls.CertificateVerificationError"); err == nil { // before Go 1.20 it is text
		b.CertificateError = certificate.Pointer
	}
	return nil
}
