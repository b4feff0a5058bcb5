// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package etcdclient

import (
	"context"
	"crypto/tls"
	"fmt"
	"time"

	"go.opentelemetry.io/collector/config/configtls"
)

// Settings say how to reach etcd.
type Settings struct {
	// Endpoints the user gave. Empty: see Resolve.
	Endpoints []Endpoint
	// Username and Password of an etcd user; empty where auth is off.
	Username, Password string
	// TLS settings of the user; nil if there are none.
	TLS *configtls.ClientConfig
	// Timeout of one call.
	Timeout time.Duration
}

// Target is what there is to connect to.
type Target struct {
	// Endpoints all have a scheme.
	Endpoints []Endpoint
	// TLS is nil where the endpoints are plain.
	TLS *tls.Config
	// Why says where the endpoints come from, for the log line at the start.
	Why string
}

// Resolve answers with the target of these settings: the endpoints that were
// given, else the etcd processes of this host, else http://localhost:2379.
//
// It reads certificate files and /proc, but makes no connection. It may be
// called again: what it finds can change. The error names the setting.
func (s Settings) Resolve(ctx context.Context) (Target, error) {
	if len(s.Endpoints) == 0 {
		return s.resolveHost(ctx)
	}
	config, err := s.tlsConfig(ctx, s.wantsTLS())
	if err != nil {
		return Target{}, err
	}
	return Target{Endpoints: schemes(s.Endpoints, config != nil), TLS: config, Why: "configured"}, nil
}

// wantsTLS: a scheme decides; without one, TLS is on if there are TLS settings.
func (s Settings) wantsTLS() bool {
	for _, e := range s.Endpoints {
		if e.Scheme != "" {
			return e.Secure()
		}
	}
	return s.TLS != nil && !s.TLS.Insecure
}

func (s Settings) tlsConfig(ctx context.Context, secure bool) (*tls.Config, error) {
	if !secure {
		return nil, nil
	}
	settings := configtls.NewDefaultClientConfig()
	if s.TLS != nil {
		settings = *s.TLS
	}
	return LoadTLS(ctx, settings)
}

// LoadTLS reads the certificate files. Its error names them.
func LoadTLS(ctx context.Context, settings configtls.ClientConfig) (*tls.Config, error) {
	config, err := settings.LoadTLSConfig(ctx)
	if err != nil {
		return nil, fmt.Errorf("tls with ca_file %q, cert_file %q and key_file %q: %w", settings.CAFile, settings.CertFile, settings.KeyFile, err)
	}
	return config, nil
}

func schemes(endpoints []Endpoint, secure bool) []Endpoint {
	out := make([]Endpoint, len(endpoints))
	for i, e := range endpoints {
		out[i] = e.withTLS(secure)
	}
	return out
}
