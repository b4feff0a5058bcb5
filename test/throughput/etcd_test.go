// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package throughput

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/etcdreceiver/etcdreceiver/internal/localcluster"
)

// server is one real etcd, without fsync, and a client of it.
type server struct {
	*localcluster.Member
	client *clientv3.Client
}

func startServer(tb testing.TB) *server {
	tb.Helper()
	return startBuild(tb, "3.6", "--unsafe-no-fsync", "--quota-backend-bytes=8000000000")
}

func startBuild(tb testing.TB, build string, args ...string) *server {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cluster, err := localcluster.Start(ctx, localcluster.Config{
		Binary: needed(tb, "ETCD_BIN_DIR", build+"/etcd"), ExtraArgs: args,
	})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := cluster.Close(); err != nil {
			tb.Error(err)
		}
	})
	client, err := cluster.Client()
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = client.Close() })
	return &server{cluster.Members()[0], client}
}

// needed is a program that an environment variable names; the test is skipped
// where it is missing. In CI nothing may be missing.
func needed(tb testing.TB, variable, file string) string {
	tb.Helper()
	dir := os.Getenv(variable)
	path := filepath.Join(dir, filepath.FromSlash(file))
	if _, err := os.Stat(path); dir != "" && err == nil {
		return path
	}
	reason := fmt.Sprintf("%s (%q) has no %q: `make bench` builds it and says where it is", variable, dir, file)
	if os.Getenv("CI") != "" {
		tb.Fatal(reason)
	}
	fmt.Println("SKIPPED:", reason) // without -v nobody would read it
	tb.Skip(reason)
	return ""
}

const (
	txnPuts   = 100 // below --max-txn-ops
	valueSize = 100
)

var value = strings.Repeat("v", valueSize)

// key has 30 bytes.
func key(i int) string { return fmt.Sprintf("/registry/pods/ns-%03d/p-%08d", i/1000%1000, i) }

// transactions writes n transactions of 100 puts, each to keys of its own, and
// gives the revision of the last.
func (s *server) transactions(tb testing.TB, n int) int64 {
	tb.Helper()
	return s.parallel(tb, 16, n, func(ctx context.Context, nr int) error { return s.transaction(ctx, nr*txnPuts) })
}

// puts writes n single puts to 10,000 keys, and gives the revision of the last.
func (s *server) puts(tb testing.TB, n int) int64 {
	tb.Helper()
	return s.parallel(tb, 64, n, s.onePut)
}

// parallel makes n requests, so many at a time, and gives the revision after them.
func (s *server) parallel(tb testing.TB, atOnce, n int, request func(ctx context.Context, nr int) error) int64 {
	tb.Helper()
	var group sync.WaitGroup
	next := make(chan int)
	for range atOnce {
		group.Go(func() {
			for nr := range next {
				if err := request(context.Background(), nr); err != nil {
					tb.Errorf("write: %v", err)
				}
			}
		})
	}
	for nr := range n {
		next <- nr
	}
	close(next)
	group.Wait()
	return s.revision(tb)
}

// transaction puts 100 keys from first on.
func (s *server) transaction(ctx context.Context, first int) error {
	var puts []clientv3.Op
	for i := range txnPuts {
		puts = append(puts, clientv3.OpPut(key(first+i), value))
	}
	_, err := s.client.Txn(ctx).Then(puts...).Commit()
	return err
}

func (s *server) revision(tb testing.TB) int64 {
	tb.Helper()
	answer, err := s.client.Get(context.Background(), "none")
	if err != nil {
		tb.Fatal(err)
	}
	return answer.Header.Revision
}

// metrics are the values of series without labels of its /metrics.
func (s *server) metrics(tb testing.TB, names ...string) []float64 {
	tb.Helper()
	answer, err := http.Get(s.ClientURL + "/metrics")
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	out := make([]float64, len(names))
	for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
		name, number, _ := strings.Cut(lines.Text(), " ")
		for i := range names {
			if name == names[i] {
				out[i], _ = strconv.ParseFloat(number, 64)
			}
		}
	}
	return out
}
