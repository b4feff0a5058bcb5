// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package discovery

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestFlagsAreReadAsGoReadsThem(t *testing.T) {
	tests := map[string]struct {
		args []string
		want settings
	}{
		"none":                                   {nil, settings{}},
		"value in the next argument":             {[]string{"--name", "n"}, settings{"name": "n"}},
		"value after an equals sign":             {[]string{"--name=a=b"}, settings{"name": "a=b"}},
		"one dash":                               {[]string{"-name", "n", "-data-dir=/d"}, settings{"name": "n", "data-dir": "/d"}},
		"value that looks like a flag":           {[]string{"--name", "--data-dir", "--cert-file", "c"}, settings{"name": "--data-dir", "cert-file": "c"}},
		"value missing at the end":               {[]string{"--name"}, settings{}},
		"given as empty":                         {[]string{"--name="}, settings{"name": ""}},
		"the last of several wins":               {[]string{"--name=a", "--name=b"}, settings{"name": "b"}},
		"boolean without value":                  {[]string{"--client-cert-auth", "--name", "n"}, settings{"client-cert-auth": "true", "name": "n"}},
		"boolean with value":                     {[]string{"--client-cert-auth=false"}, settings{"client-cert-auth": "false"}},
		"other boolean before a flag":            {[]string{"--pre-vote", "--name", "n"}, settings{"name": "n"}},
		"other flag with a value":                {[]string{"--snapshot-count", "5000", "--name", "n"}, settings{"name": "n"}},
		"other flag with a negative value":       {[]string{"--x", "-1", "--name", "n"}, settings{"name": "n"}},
		"flag whose name only begins alike":      {[]string{"--name-x", "n", "--peer-cert-file=p"}, settings{}},
		"nothing counts after the terminator":    {[]string{"--name=n", "--", "--data-dir=/d"}, settings{"name": "n"}},
		"dashes, equals signs and empty strings": {[]string{"", "-", "-=", "--=x", "---name=x", "name"}, settings{}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, tt.want, parseFlags(tt.args))
		})
	}
}

func TestArgumentsEndWithNUL(t *testing.T) {
	assert.Nil(t, splitArguments(""))
	assert.Equal(t, []string{""}, splitArguments("\x00"))
	assert.Equal(t, []string{"etcd", "", "x"}, splitArguments("etcd\x00\x00x\x00"))
	assert.Equal(t, []string{"etcd", "x"}, splitArguments("etcd\x00x"), "a process may overwrite its own")
}
