// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build apiserver

package kubernetes

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/etcdreceiver/etcdreceiver/internal/localcluster/child"
	"github.com/etcdreceiver/etcdreceiver/test/harness"
)

// patience is how long a step of a real API server may take on a busy machine.
const patience = 3 * time.Minute

// sealedConfig encrypts what objects.yaml calls sealed, each with another provider.
const sealedConfig = `apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
- {resources: [limitranges], providers: [{aescbc: {keys: [{name: key1, secret: %[1]q}]}}]}
- {resources: [resourcequotas], providers: [{aesgcm: {keys: [{name: key1, secret: %[1]q}]}}]}
- {resources: [podtemplates], providers: [{secretbox: {keys: [{name: key1, secret: %[1]q}]}}]}
`

const token = "admin-of-this-test"

// apiServer is a real kube-apiserver, without any other part of Kubernetes.
type apiServer struct {
	url    string
	client http.Client
}

// startAPIServer starts the program of KUBE_APISERVER, which takes a core half an hour
// to compile. So what needs it has a build tag, and make test reads what it recorded.
func startAPIServer(t *testing.T, etcd string) *apiServer {
	t.Helper()
	program := os.Getenv("KUBE_APISERVER")
	require.NotEmpty(t, program, "run `make kubernetes-testdata`, which builds a kube-apiserver and names it")
	dir := t.TempDir()
	file := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, content, 0o600))
		return path
	}
	account, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	key := file("account.pem", pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(account)}))
	secret := make([]byte, 32)
	_, _ = rand.Read(secret)
	_, port, err := net.SplitHostPort(harness.FreeAddress(t))
	require.NoError(t, err)
	p, err := child.Start(child.Config{Path: program, Args: []string{
		"--etcd-servers=" + etcd,
		"--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", "--secure-port=" + port,
		"--cert-dir=" + filepath.Join(dir, "certs"),
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + key, "--service-account-signing-key-file=" + key,
		"--service-cluster-ip-range=10.96.0.0/24",
		"--token-auth-file=" + file("tokens.csv", []byte(token+",admin,1,system:masters\n")), "--authorization-mode=AlwaysAllow",
		"--endpoint-reconciler-type=none",
		"--disable-admission-plugins=ServiceAccount", // its controller does not run
		"--encryption-provider-config=" + file("encryption.yaml", fmt.Appendf(nil, sealedConfig, base64.StdEncoding.EncodeToString(secret))),
	}})
	require.NoError(t, err)
	s := &apiServer{url: "https://127.0.0.1:" + port, client: http.Client{
		Timeout: time.Minute,
		// The certificate is the server's own, made a moment ago.
		Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}, //nolint:gosec
	}}
	t.Cleanup(func() {
		s.client.CloseIdleConnections()
		require.NoError(t, p.Kill())
	})
	s.await(t, "the API server is ready", func() bool {
		select {
		case <-p.Done():
			require.Fail(t, "the API server has ended", "%v\n%s", p.Err(), p.Tail())
		default:
		}
		status, _, err := s.do(http.MethodGet, "/readyz", "", nil)
		return err == nil && status == http.StatusOK
	})
	return s
}

func (s *apiServer) await(t *testing.T, what string, done func() bool) {
	t.Helper()
	for began := time.Now(); !done(); time.Sleep(100 * time.Millisecond) {
		require.Less(t, time.Since(began), patience, "waited in vain for: %s", what)
	}
}

// metadata is what the API server answers about an object.
type metadata struct {
	APIVersion, Kind string
	Metadata         struct {
		Name, Namespace, UID, ResourceVersion string
		ManagedFields                         []struct {
			Manager, Operation string
			Time               time.Time
		}
	}
}

// newest is the last entry of managedFields, by time; few objects have none.
func (m *metadata) newest() (manager, operation string) {
	var last time.Time
	for _, entry := range m.Metadata.ManagedFields {
		if !entry.Time.Before(last) {
			last, manager, operation = entry.Time, entry.Manager, entry.Operation
		}
	}
	return manager, operation
}

// store creates or patches an object. A resource whose definition is new may take a
// moment to be served.
func (s *apiServer) store(t *testing.T, r *request) (m metadata) {
	t.Helper()
	method, path, media := http.MethodPost, r.Path, "application/json"
	if r.Patch != "" {
		method, path, media = http.MethodPatch, r.Patch, "application/merge-patch+json"
	}
	body, err := json.Marshal(r.Object)
	require.NoError(t, err)
	var status int
	var answer []byte
	s.await(t, path, func() bool {
		status, answer, err = s.do(method, path+"?fieldManager="+url.QueryEscape(r.Manager), media, body)
		return err == nil && status != http.StatusNotFound && status != http.StatusServiceUnavailable
	})
	require.Less(t, status, 300, "%s: %s", path, answer)
	require.NoError(t, json.Unmarshal(answer, &m))
	return m
}

func (s *apiServer) do(method, path, media string, body []byte) (status int, answer []byte, err error) {
	req, err := http.NewRequest(method, s.url+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", media)
	resp, err := s.client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err = io.ReadAll(resp.Body)
	return resp.StatusCode, answer, err
}
