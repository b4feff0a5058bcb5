// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/etcdutl/v3/snapshot"
	"go.uber.org/zap"
)

// Backup saves the database to a file, as `etcdctl snapshot save` does.
func Backup(ctx context.Context, client *clientv3.Client, file string) error {
	from, err := client.Snapshot(ctx)
	if err != nil {
		return fmt.Errorf("back up etcd: %w", err)
	}
	defer func() { _ = from.Close() }()
	to, err := os.Create(file)
	if err != nil {
		return fmt.Errorf("back up etcd: %w", err)
	}
	if _, err := io.Copy(to, from); err != nil {
		_ = to.Close()
		return fmt.Errorf("back up etcd: %w", err)
	}
	return to.Close()
}

// Restore replaces the data of a member that does not run, as `etcdutl snapshot restore` does, for the command line
// that the member had. With the same name, peer URL and token the cluster has the same id as before.
func Restore(file string, args []string) error {
	dir := argument(args, "--data-dir")
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("restore etcd: %w", err)
	}
	err := snapshot.NewV3(zap.NewNop()).Restore(snapshot.RestoreConfig{
		SnapshotPath:        file,
		Name:                argument(args, "--name"),
		OutputDataDir:       dir,
		PeerURLs:            []string{argument(args, "--initial-advertise-peer-urls")},
		InitialCluster:      argument(args, "--initial-cluster"),
		InitialClusterToken: argument(args, "--initial-cluster-token"),
	})
	if err != nil {
		return fmt.Errorf("restore etcd: %w", err)
	}
	return nil
}

// CommandLine gives the arguments of a running process of ours.
func CommandLine(pid int) ([]string, error) {
	text, err := os.ReadFile(filepath.Join("/proc", fmt.Sprint(pid), "cmdline"))
	if err != nil {
		return nil, fmt.Errorf("read the command line of a member: %w", err)
	}
	return strings.Split(strings.TrimSuffix(string(text), "\x00"), "\x00"), nil
}

func argument(args []string, name string) string {
	for _, arg := range args {
		if value, ok := strings.CutPrefix(arg, name+"="); ok {
			return value
		}
	}
	return ""
}
