// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

// Command embedder is a program that has etcd in it, as k3s has.
package main

import (
	"log"
	"net/url"
	"os"
	"os/signal"
	"syscall"

	"go.etcd.io/etcd/server/v3/embed"
)

func main() {
	if len(os.Args) != 4 {
		log.Fatal("usage: embedder data-dir client-url peer-url")
	}
	config := embed.NewConfig()
	config.Dir = os.Args[1]
	config.LogLevel = "error"
	client, peer := parse(os.Args[2]), parse(os.Args[3])
	config.ListenClientUrls, config.AdvertiseClientUrls = []url.URL{client}, []url.URL{client}
	config.ListenPeerUrls, config.AdvertisePeerUrls = []url.URL{peer}, []url.URL{peer}
	config.InitialCluster = config.InitialClusterFromName(config.Name)
	etcd, err := embed.StartEtcd(config)
	if err != nil {
		log.Fatal(err)
	}
	defer etcd.Close()
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM)
	<-end
}

func parse(text string) url.URL {
	u, err := url.Parse(text)
	if err != nil {
		log.Fatal(err)
	}
	return *u
}
