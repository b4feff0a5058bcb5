// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package localcluster

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// TLS is what a client needs to connect: the paths of PEM files. The files live as long as the cluster.
type TLS struct {
	// CAFile is the certificate that signed all others.
	CAFile string
	// CertFile and KeyFile are a client's certificate, with the common name "client", and its key.
	CertFile, KeyFile string
	// ServerCertFile and ServerKeyFile are the members' certificate, for localhost and 127.0.0.1, and its key.
	ServerCertFile, ServerKeyFile string

	config    *tls.Config
	authority *pair
}

// Config gives a configuration for a client, with the client certificate. The caller owns it.
func (t *TLS) Config() *tls.Config { return t.config.Clone() }

// ConfigAs gives a configuration for a client whose certificate has another common name.
func (t *TLS) ConfigAs(commonName string) (*tls.Config, error) {
	client, err := issue(clientTemplate(commonName), t.authority)
	if err != nil {
		return nil, err
	}
	config := t.Config()
	config.Certificates = []tls.Certificate{client.certificate()}
	return config, nil
}

// Certificate gives one more of a client, which is for these names and addresses only.
func (t *TLS) Certificate(names []string, addresses []net.IP) (tls.Certificate, error) {
	client := clientTemplate("client")
	client.DNSNames, client.IPAddresses = names, addresses
	p, err := issue(client, t.authority)
	if err != nil {
		return tls.Certificate{}, err
	}
	return p.certificate(), nil
}

// NewTLS makes an authority, a certificate for the members and one for clients in dir.
func NewTLS(dir string) (*TLS, error) {
	t := &TLS{
		CAFile:         filepath.Join(dir, "ca.pem"),
		CertFile:       filepath.Join(dir, "client.pem"),
		KeyFile:        filepath.Join(dir, "client-key.pem"),
		ServerCertFile: filepath.Join(dir, "server.pem"),
		ServerKeyFile:  filepath.Join(dir, "server-key.pem"),
	}
	if err := t.create(dir); err != nil {
		return nil, fmt.Errorf("create TLS material: %w", err)
	}
	return t, nil
}

func (t *TLS) create(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	ca := template("localcluster CA")
	ca.IsCA, ca.BasicConstraintsValid, ca.KeyUsage = true, true, x509.KeyUsageCertSign
	authority, err := issue(ca, nil)
	if err != nil {
		return err
	}
	server := template("etcd")
	server.DNSNames = []string{"localhost"}
	server.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	// Client use as well: etcd's HTTP gateway connects to its own gRPC server with this certificate.
	server.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	serverPair, err := issue(server, authority)
	if err != nil {
		return err
	}
	t.authority = authority
	clientPair, err := issue(clientTemplate("client"), authority)
	if err != nil {
		return err
	}

	if err := authority.write(t.CAFile, ""); err != nil {
		return err
	}
	if err := serverPair.write(t.ServerCertFile, t.ServerKeyFile); err != nil {
		return err
	}
	if err := clientPair.write(t.CertFile, t.KeyFile); err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AddCert(authority.cert)
	t.config = &tls.Config{
		MinVersion:   tls.VersionTLS12,
		RootCAs:      roots,
		Certificates: []tls.Certificate{clientPair.certificate()},
	}
	return nil
}

// pair is a certificate with its key.
type pair struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func (p *pair) certificate() tls.Certificate {
	return tls.Certificate{Certificate: [][]byte{p.cert.Raw}, PrivateKey: p.key}
}

func template(name string) *x509.Certificate {
	return &x509.Certificate{
		Subject:   pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), // a container's clock may lag behind
		NotAfter:  time.Now().Add(24 * time.Hour),
		KeyUsage:  x509.KeyUsageDigitalSignature,
	}
}

func clientTemplate(name string) *x509.Certificate {
	client := template(name)
	client.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	return client
}

// issue signs a certificate with a new key; without an authority it signs itself.
func issue(template *x509.Certificate, authority *pair) (*pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("create key for %q: %w", template.Subject.CommonName, err)
	}
	template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, fmt.Errorf("create serial number for %q: %w", template.Subject.CommonName, err)
	}
	if authority == nil {
		authority = &pair{cert: template, key: key}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, authority.cert, &key.PublicKey, authority.key)
	if err != nil {
		return nil, fmt.Errorf("sign certificate for %q: %w", template.Subject.CommonName, err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("read back certificate for %q: %w", template.Subject.CommonName, err)
	}
	return &pair{cert: cert, key: key}, nil
}

// write stores the certificate, and the key if keyFile is not empty.
func (p *pair) write(certFile, keyFile string) error {
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.cert.Raw})
	if err := os.WriteFile(certFile, cert, 0o600); err != nil || keyFile == "" {
		return err
	}
	der, err := x509.MarshalECPrivateKey(p.key)
	if err != nil {
		return err
	}
	return os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), 0o600)
}
