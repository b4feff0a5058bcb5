// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package etcdclient

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"go.opentelemetry.io/collector/config/configopaque"
	"go.opentelemetry.io/collector/config/configtls"

	"github.com/etcdreceiver/etcdreceiver/internal/discovery"
	"github.com/etcdreceiver/etcdreceiver/internal/privilege"
)

// certificate is a client certificate that a distribution of Kubernetes, or the
// user's etcdctl, keeps at a known place.
type certificate struct{ name, ca, cert, key string }

// knownCertificates in the order they are tried.
//
// Sources: kubeadm's certificate list (k8s.io/kubernetes
// cmd/kubeadm/app/phases/certs), k3s and rke2 server documentation (not run),
// etcdctl's own environment variables.
func knownCertificates(env func(string) string) []certificate {
	return []certificate{
		{"kubeadm healthcheck-client", "/etc/kubernetes/pki/etcd/ca.crt", "/etc/kubernetes/pki/etcd/healthcheck-client.crt", "/etc/kubernetes/pki/etcd/healthcheck-client.key"},
		{"k3s client", "/var/lib/rancher/k3s/server/tls/etcd/server-ca.crt", "/var/lib/rancher/k3s/server/tls/etcd/client.crt", "/var/lib/rancher/k3s/server/tls/etcd/client.key"},
		{"rke2 client", "/var/lib/rancher/rke2/server/tls/etcd/server-ca.crt", "/var/lib/rancher/rke2/server/tls/etcd/client.crt", "/var/lib/rancher/rke2/server/tls/etcd/client.key"},
		{"ETCDCTL_*", env("ETCDCTL_CACERT"), env("ETCDCTL_CERT"), env("ETCDCTL_KEY")},
	}
}

// resolveHost looks at this host. TLS settings of the user win over the known
// certificates, so a user can give only those.
func (s Settings) resolveHost(ctx context.Context) (target Target, err error) {
	privilege.With(func() { target, err = s.look(ctx) })
	return target, err
}

func (s Settings) look(ctx context.Context) (Target, error) {
	// A host whose /proc cannot be read is a host that shows nothing.
	processes, _ := discovery.Scanner{}.Processes()
	nothing := "no endpoints given and no etcd process found on this host"
	for _, p := range processes {
		endpoint, ok := firstEndpoint(p.ClientURLs)
		if !ok {
			nothing = fmt.Sprintf("no endpoints given, and the settings of the etcd process %d cannot be read (run as its user or as root)", p.PID)
			continue
		}
		why := fmt.Sprintf("from pid %d", p.PID)
		settings := s
		if endpoint.Secure() && s.TLS == nil {
			if found, ok := findCertificate(knownCertificates(os.Getenv)); ok {
				settings.TLS = found.settings()
				why += ", client certificate " + found.name
			} else {
				settings.TLS = trustCAOf(p)
			}
		}
		config, err := settings.tlsConfig(ctx, endpoint.Secure())
		if err != nil {
			return Target{}, err
		}
		return Target{Endpoints: []Endpoint{endpoint}, TLS: config, Why: why}, nil
	}
	fallback := Endpoint{Host: "localhost", Port: 2379}.withTLS(s.TLS != nil && !s.TLS.Insecure)
	config, err := s.tlsConfig(ctx, fallback.Secure())
	if err != nil {
		return Target{}, err
	}
	return Target{Endpoints: []Endpoint{fallback}, TLS: config, Why: nothing}, nil
}

func firstEndpoint(urls []string) (Endpoint, bool) {
	for _, u := range urls {
		if e, err := ParseEndpoint(strings.TrimSuffix(u, "/")); err == nil && e.Scheme != "" {
			return e, true
		}
	}
	return Endpoint{}, false
}

func findCertificate(known []certificate) (certificate, bool) {
	for _, c := range known {
		if readable(c.cert) && readable(c.key) {
			return c, true
		}
	}
	return certificate{}, false
}

func (c certificate) settings() *configtls.ClientConfig {
	settings := configtls.NewDefaultClientConfig()
	if readable(c.ca) {
		settings.CAFile = c.ca
	}
	settings.CertFile, settings.KeyFile = c.cert, c.key
	settings.ReloadInterval = time.Hour // kubeadm and its like renew in place
	return &settings
}

// trustCAOf trusts the CA that the process itself trusts for its clients: mostly
// it signed the server's certificate too. The file is read as the process sees
// it, which may be inside a container.
func trustCAOf(p discovery.Process) *configtls.ClientConfig {
	settings := configtls.NewDefaultClientConfig()
	if p.TrustedCAFile != "" {
		if pem, err := (discovery.Scanner{}).ReadFile(p.PID, p.TrustedCAFile); err == nil {
			settings.CAPem = configopaque.String(pem)
		}
	}
	return &settings
}

func readable(path string) bool {
	if path == "" {
		return false
	}
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	_ = f.Close()
	return true
}
