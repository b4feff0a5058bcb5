// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package discovery

import (
	"maps"
	"strconv"
)

// Names of the settings we read, as on the command line.
const (
	settingConfigFile       = "config-file"
	settingName             = "name"
	settingDataDir          = "data-dir"
	settingListenClientURLs = "listen-client-urls"
	settingListenPeerURLs   = "listen-peer-urls"
	settingTrustedCAFile    = "trusted-ca-file"
	settingCertFile         = "cert-file"
	settingClientCertAuth   = "client-cert-auth"
)

// knownSettings lists them all; a new setting is a constant, a line here and a
// line in the configuration file (configfile.go).
var knownSettings = []string{
	settingConfigFile,
	settingName,
	settingDataDir,
	settingListenClientURLs,
	settingListenPeerURLs,
	settingTrustedCAFile,
	settingCertFile,
	settingClientCertAuth,
}

// Defaults of etcd 3.4 to 3.7. Source: etcd server/embed/config.go, NewConfig;
// the data directory is named in server/etcdmain/etcd.go.
const (
	defaultName       = "default"
	defaultClientURLs = "http://localhost:2379"
	defaultPeerURLs   = "http://localhost:2380"
	dataDirSuffix     = ".etcd"
)

// settings are values by setting name, only of knownSettings. A missing key was
// not given; "" was given as empty.
type settings map[string]string

// over returns s on top of lower: what s has not been given comes from lower.
func (s settings) over(lower settings) settings {
	merged := maps.Clone(lower)
	if merged == nil {
		merged = settings{}
	}
	maps.Copy(merged, s)
	return merged
}

// withDefaults returns s with etcd's defaults below it. Use it only if every
// source of settings was read: else a default may hide what etcd was told.
func (s settings) withDefaults() settings {
	full := s.over(settings{settingName: defaultName})
	// Given as empty, these count as not given.
	if full[settingDataDir] == "" {
		full[settingDataDir] = full[settingName] + dataDirSuffix
	}
	if full[settingListenClientURLs] == "" {
		full[settingListenClientURLs] = defaultClientURLs
	}
	if full[settingListenPeerURLs] == "" {
		full[settingListenPeerURLs] = defaultPeerURLs
	}
	return full
}

// isTrue reports whether the setting was given as a true value.
func (s settings) isTrue(name string) bool {
	v, err := strconv.ParseBool(s[name])
	return err == nil && v
}
