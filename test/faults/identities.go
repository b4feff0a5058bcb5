// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// identities are a server's and a client's certificate of one authority, both replaced by each rotate. The client's
// lies in files.
type identities struct {
	caFile, certFile, keyFile string

	authority *x509.Certificate
	key       *ecdsa.PrivateKey

	mu     sync.Mutex
	config *tls.Config // of the server
	serial int64
}

func newIdentities(dir string) (*identities, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("create certificates: %w", err)
	}
	i := &identities{caFile: filepath.Join(dir, "ca.pem"), certFile: filepath.Join(dir, "client.pem"), keyFile: filepath.Join(dir, "client-key.pem")}
	if err := i.newAuthority(); err != nil {
		return nil, err
	}
	if err := i.trust(i.authority); err != nil {
		return nil, err
	}
	return i, i.rotate()
}

// newAuthority makes another authority, which issues from the next rotate on. Nothing of it is trusted yet.
func (i *identities) newAuthority() error {
	i.serial++
	template := &x509.Certificate{
		SerialNumber: big.NewInt(i.serial), Subject: pkix.Name{CommonName: fmt.Sprintf("faults CA %d", i.serial)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("create certificates: %w", err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return fmt.Errorf("create certificates: %w", err)
	}
	i.key = key
	if i.authority, err = x509.ParseCertificate(der); err != nil {
		return fmt.Errorf("create certificates: %w", err)
	}
	return nil
}

// trust replaces the file of the authorities that the client trusts.
func (i *identities) trust(authorities ...*x509.Certificate) error {
	var bundle []byte
	for _, a := range authorities {
		bundle = append(bundle, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.Raw})...)
	}
	return replace(i.caFile, bundle)
}

// rotate replaces both certificates. Connections that are open stay so.
func (i *identities) rotate() error {
	server, _, _, err := i.issue()
	if err != nil {
		return err
	}
	_, certificate, key, err := i.issue()
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AddCert(i.authority)
	newest := i.serial
	i.mu.Lock()
	i.config = &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: []string{"h2"}, Certificates: []tls.Certificate{server},
		ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: roots, SessionTicketsDisabled: true,
		VerifyPeerCertificate: func(_ [][]byte, chains [][]*x509.Certificate) error {
			if chains[0][0].SerialNumber.Int64() != newest {
				return errors.New("the client certificate is an old one")
			}
			return nil
		},
	}
	i.mu.Unlock()
	// One after the other, as they are replaced in practice: a reader in between has a pair that does not fit.
	if err := replace(i.keyFile, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: key})); err != nil {
		return err
	}
	return replace(i.certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate}))
}

func (i *identities) current() *tls.Config {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.config
}

// server is the configuration of a server that takes only the newest client certificate.
func (i *identities) server() *tls.Config {
	return &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return i.current(), nil }}
}

// issue makes a certificate for this machine, for servers and clients.
func (i *identities) issue() (pair tls.Certificate, certificate, private []byte, err error) {
	i.serial++
	template := &x509.Certificate{
		SerialNumber: big.NewInt(i.serial), Subject: pkix.Name{CommonName: "faults"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err == nil {
		certificate, err = x509.CreateCertificate(rand.Reader, template, i.authority, &key.PublicKey, i.key)
	}
	if err == nil {
		private, err = x509.MarshalECPrivateKey(key)
	}
	if err != nil {
		return tls.Certificate{}, nil, nil, fmt.Errorf("issue a certificate: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{certificate}, PrivateKey: key}, certificate, private, nil
}

// replace writes a file in one step.
func replace(file string, text []byte) error {
	if err := os.WriteFile(file+".new", text, 0o600); err != nil {
		return fmt.Errorf("write a certificate: %w", err)
	}
	return os.Rename(file+".new", file)
}
