// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package discovery

import (
	"errors"
	"fmt"
	"strconv"

	"go.yaml.in/yaml/v3"
)

// configFile is the part of etcd's configuration file that we read. A nil field
// is absent or null, which etcd treats alike.
//
// Source: etcd server/embed/config.go, Config, configJSON and securityConfig.
type configFile struct {
	Name             *string `yaml:"name"`
	DataDir          *string `yaml:"data-dir"`
	ListenClientURLs *string `yaml:"listen-client-urls"`
	ListenPeerURLs   *string `yaml:"listen-peer-urls"`

	ClientTransportSecurity struct {
		CertFile       *string `yaml:"cert-file"`
		TrustedCAFile  *string `yaml:"trusted-ca-file"`
		ClientCertAuth *bool   `yaml:"client-cert-auth"`
	} `yaml:"client-transport-security"`
}

// errConfigTypes stands for yaml.TypeError, which quotes values from the file.
var errConfigTypes = errors.New("a value has another type than etcd expects, or a key occurs twice")

// parseConfigFile reads the known settings from a configuration file. With an
// error it still returns those that were good; a bad one is empty or missing.
func parseConfigFile(content []byte) (settings, error) {
	var file configFile
	err := yaml.Unmarshal(content, &file)
	if _, ok := errors.AsType[*yaml.TypeError](err); ok {
		err = errConfigTypes
	}
	if err != nil {
		err = fmt.Errorf("parse as YAML: %w", err)
	}
	return file.settings(), err
}

// settings lists what the file gives, under the names of the command line.
func (f configFile) settings() settings {
	given := settings{}
	for name, value := range map[string]*string{
		settingName:             f.Name,
		settingDataDir:          f.DataDir,
		settingListenClientURLs: f.ListenClientURLs,
		settingListenPeerURLs:   f.ListenPeerURLs,
		settingCertFile:         f.ClientTransportSecurity.CertFile,
		settingTrustedCAFile:    f.ClientTransportSecurity.TrustedCAFile,
	} {
		if value != nil {
			given[name] = *value
		}
	}
	if auth := f.ClientTransportSecurity.ClientCertAuth; auth != nil {
		given[settingClientCertAuth] = strconv.FormatBool(*auth)
	}
	return given
}
