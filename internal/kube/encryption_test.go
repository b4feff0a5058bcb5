// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestAnEncryptedValueTellsItsProviderAndNothingElse(t *testing.T) {
	for value, want := range map[string]string{
		"k8s:enc:secretbox:v1:key1:\xff\x00": "secretbox",
		"k8s:enc:aescbc:v1:key1:x":           "aescbc",
		"k8s:enc:aesgcm:v1:key1:x":           "aesgcm",
		"k8s:enc:kms:v2:vault:x":             "kms",
		"k8s:enc:hunter2:v1:x":               "other",
		"k8s:enc:":                           "other",
		"k8s\x00":                            "",
		"k8s:en":                             "",
		"":                                   "",
	} {
		assert.Equal(t, want, Encryption([]byte(value)), "%q", value)
		_, ok := ParseObject([]byte(value))
		assert.False(t, ok, "%q", value)
	}
}
