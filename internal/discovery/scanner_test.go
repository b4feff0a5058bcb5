// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package discovery

import (
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestScannerReadsSettingsInEtcdsOrderOfPrecedence(t *testing.T) {
	const config = "name: from-file\ndata-dir: /file\nlisten-client-urls: http://10.0.0.9:2379\nlisten-peer-urls: http://10.0.0.9:2380\n"
	tests := map[string]struct {
		argv, environ []string
		files         map[string]string
		want          Process
	}{
		"nothing given, so all defaults": {
			want: Process{Name: "default", DataDir: "/srv/default.etcd", ClientURLs: []string{"http://localhost:2379"}, PeerURLs: []string{"http://localhost:2380"}},
		},
		"flags win over the environment, one by one": {
			argv:    []string{"--name", "flag"},
			environ: []string{"ETCD_NAME=env", "ETCD_LISTEN_CLIENT_URLS=http://127.0.0.1:4001", "ETCD_LISTEN_PEER_URLS=http://127.0.0.1:7001"},
			want:    Process{Name: "flag", DataDir: "/srv/flag.etcd", ClientURLs: []string{"http://127.0.0.1:4001"}, PeerURLs: []string{"http://127.0.0.1:7001"}},
		},
		"a configuration file makes flags and environment void": {
			argv:    []string{"--name", "flag", "--config-file", "/etc/etcd.yaml", "--client-cert-auth"},
			environ: []string{"ETCD_DATA_DIR=/env", "ETCD_CERT_FILE=/env.crt"},
			files:   map[string]string{"/etc/etcd.yaml": config},
			want:    Process{Name: "from-file", DataDir: "/file", ClientURLs: []string{"http://10.0.0.9:2379"}, PeerURLs: []string{"http://10.0.0.9:2380"}},
		},
		"the configuration file may be named by the environment": {
			argv:    []string{"--name", "flag"},
			environ: []string{"ETCD_CONFIG_FILE=/etc/etcd.yaml"},
			files:   map[string]string{"/etc/etcd.yaml": config},
			want:    Process{Name: "from-file", DataDir: "/file", ClientURLs: []string{"http://10.0.0.9:2379"}, PeerURLs: []string{"http://10.0.0.9:2380"}},
		},
		"the flag names another file than the environment": {
			argv:    []string{"--config-file=/etc/etcd.yaml"},
			environ: []string{"ETCD_CONFIG_FILE=/absent.yaml"},
			files:   map[string]string{"/etc/etcd.yaml": config},
			want:    Process{Name: "from-file", DataDir: "/file", ClientURLs: []string{"http://10.0.0.9:2379"}, PeerURLs: []string{"http://10.0.0.9:2380"}},
		},
		"an empty configuration file means all defaults": {
			argv:  []string{"--name=flag", "--config-file=/etc/etcd.yaml"},
			files: map[string]string{"/etc/etcd.yaml": ""},
			want:  Process{Name: "default", DataDir: "/srv/default.etcd", ClientURLs: []string{"http://localhost:2379"}, PeerURLs: []string{"http://localhost:2380"}},
		},
		"relative paths start at the working directory": {
			argv:  []string{"--config-file", "conf/etcd.yaml"},
			files: map[string]string{"/srv/conf/etcd.yaml": "name: n\nclient-transport-security: {trusted-ca-file: ca.crt, cert-file: ../s.crt}\n"},
			want: Process{
				Name: "n", DataDir: "/srv/n.etcd", ClientURLs: []string{"http://localhost:2379"}, PeerURLs: []string{"http://localhost:2380"},
				TrustedCAFile: "/srv/ca.crt", CertFile: "/s.crt",
			},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			proc := newFakeProc(t)
			environ := append([]string{"PATH=/bin"}, tt.environ...)
			proc.add(7, fakeProcess{
				exe: "/usr/bin/etcd", cwd: "/srv", files: tt.files,
				argv: append([]string{"etcd"}, tt.argv...), environ: environ,
			})
			tt.want.PID = 7
			assert.Equal(t, []Process{tt.want}, proc.scan())
		})
	}
}

func TestScannerReadsAKubernetesMember(t *testing.T) {
	proc := newFakeProc(t)
	proc.add(812, fakeProcess{
		exe: "/usr/local/bin/etcd", cwd: "/", environ: []string{},
		argv: []string{
			"etcd", "--advertise-client-urls=https://192.168.0.10:2379", "--cert-file=/etc/kubernetes/pki/etcd/server.crt",
			"--client-cert-auth=true", "--data-dir=/var/lib/etcd", "--initial-cluster=cp=https://192.168.0.10:2380",
			"--listen-client-urls=https://192.168.0.10:2379,https://127.0.0.1:2379", "--listen-metrics-urls=http://127.0.0.1:2381",
			"--listen-peer-urls=https://192.168.0.10:2380",
			"--name=cp", "--peer-client-cert-auth=true", "--trusted-ca-file=/etc/kubernetes/pki/etcd/ca.crt",
		},
	})
	assert.Equal(t, []Process{{
		PID: 812, Name: "cp", DataDir: "/var/lib/etcd",
		ClientURLs:     []string{"https://127.0.0.1:2379", "https://192.168.0.10:2379"},
		PeerURLs:       []string{"https://192.168.0.10:2380"},
		TrustedCAFile:  "/etc/kubernetes/pki/etcd/ca.crt",
		CertFile:       "/etc/kubernetes/pki/etcd/server.crt",
		ClientCertAuth: true,
	}}, proc.scan())
}

func TestScannerFindsServersOnly(t *testing.T) {
	tests := map[string]struct {
		process fakeProcess
		found   bool
	}{
		"executable named etcd":                   {fakeProcess{exe: "/opt/etcd", argv: []string{"anything"}}, true},
		"executable replaced on disk":             {fakeProcess{exe: "/opt/etcd (deleted)", argv: []string{"etcd"}}, true},
		"unreadable link, but argv[0] says etcd":  {fakeProcess{argv: []string{"/opt/etcd"}}, true},
		"argv[0] says etcd, the executable not":   {fakeProcess{exe: "/bin/sleep", argv: []string{"etcd"}}, false},
		"etcdctl":                                 {fakeProcess{exe: "/opt/etcdctl", argv: []string{"etcdctl"}}, false},
		"the gateway inside the etcd binary":      {fakeProcess{exe: "/opt/etcd", argv: []string{"etcd", "gateway", "start"}}, false},
		"the gRPC proxy inside the etcd binary":   {fakeProcess{exe: "/opt/etcd", argv: []string{"etcd", "grpc-proxy", "start"}}, false},
		"kernel thread":                           {fakeProcess{}, false},
		"ended, waiting for its parent":           {fakeProcess{exe: "/opt/etcd"}, false},
		"empty argv[0] and unreadable executable": {fakeProcess{argv: []string{""}}, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			proc := newFakeProc(t)
			proc.add(1, tt.process)
			assert.Equal(t, tt.found, len(proc.scan()) == 1)
		})
	}
}

func TestScannerOrdersByPIDAndPassesOverOtherFiles(t *testing.T) {
	proc := newFakeProc(t)
	for _, pid := range []int{100, 9, 23} {
		proc.add(pid, fakeProcess{exe: "/etcd", argv: []string{"etcd"}})
	}
	proc.write(filepath.Join(proc.root, "meminfo"), "")
	proc.write(filepath.Join(proc.root, "1"), "not a directory")
	proc.write(filepath.Join(proc.root, "0", "cmdline"), "etcd\x00")
	proc.write(filepath.Join(proc.root, "5", "stat"), "a process that vanished while it was listed")

	var found []int
	for _, p := range proc.scan() {
		found = append(found, p.PID)
	}
	assert.Equal(t, []int{9, 23, 100}, found)
}

func TestScannerLeavesUnknownWhatItCannotRead(t *testing.T) {
	tests := map[string]struct {
		process fakeProcess
		want    Process
		unread  string
	}{
		"environment: flags are known, defaults would be guesses": {
			process: fakeProcess{cwd: "/srv", argv: []string{"etcd", "--name=n", "--trusted-ca-file=ca.crt"}},
			want:    Process{Name: "n", TrustedCAFile: "/srv/ca.crt"},
			unread:  "read its environment: ",
		},
		"configuration file: flags mean nothing beside it": {
			process: fakeProcess{cwd: "/srv", argv: []string{"etcd", "--name=n", "--config-file=/absent"}},
			unread:  `read its configuration file "/absent": `,
		},
		"configuration file in a directory unknown": {
			process: fakeProcess{argv: []string{"etcd", "--config-file=etcd.yaml"}},
			unread:  `read its configuration file "etcd.yaml": `,
		},
		"part of a configuration file": {
			process: fakeProcess{
				cwd: "/srv", argv: []string{"etcd", "--config-file=/c"},
				files: map[string]string{"/c": "name: n\nclient-transport-security: {client-cert-auth: s3cret}\n"},
			},
			want:   Process{Name: "n"},
			unread: `read its configuration file "/c": parse as YAML: a value has another type`,
		},
		"working directory: relative paths": {
			process: fakeProcess{argv: []string{"etcd", "--cert-file=s.crt"}, environ: []string{}},
			want:    Process{Name: "default", ClientURLs: []string{"http://localhost:2379"}, PeerURLs: []string{"http://localhost:2380"}},
			unread:  "read its working directory: ",
		},
		"command line of absurd length": {
			process: fakeProcess{cwd: "/srv", argv: []string{"etcd", strings.Repeat("x", maxProcBytes)}, environ: []string{"ETCD_NAME=n"}},
			want:    Process{Name: "n"},
			unread:  "read its command line: ",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			proc := newFakeProc(t)
			tt.process.exe = "/opt/etcd"
			proc.add(7, tt.process)

			found := proc.scan()
			require.Len(t, found, 1)
			require.ErrorContains(t, found[0].Unread, tt.unread)
			assert.NotContains(t, found[0].Unread.Error(), "s3cret", "values stay out of messages")
			found[0].Unread = nil
			tt.want.PID = 7
			assert.Equal(t, tt.want, found[0])
		})
	}
}

func TestScannerFindsNothingWithoutAProcFileSystem(t *testing.T) {
	found, err := Scanner{Root: filepath.Join(t.TempDir(), "absent")}.Processes()
	assert.NoError(t, err)
	assert.Nil(t, found)
}

func TestScannerReportsAListItCannotRead(t *testing.T) {
	proc := newFakeProc(t)
	file := filepath.Join(proc.root, "file")
	proc.write(file, "")
	found, err := Scanner{Root: file}.Processes()
	assert.ErrorContains(t, err, "list processes: ")
	assert.NotErrorIs(t, err, fs.ErrNotExist)
	assert.Nil(t, found)
}
