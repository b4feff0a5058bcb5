// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package kube

import "bytes"

var encrypted = []byte("k8s:enc:")

// Encryption names the provider that has encrypted a value at rest: aescbc,
// aesgcm, kms or secretbox, "other" for one that is not known; "" if the value is
// not encrypted. It is a constant, never a part of the value.
func Encryption(value []byte) string {
	rest, ok := bytes.CutPrefix(value, encrypted)
	if !ok {
		return ""
	}
	provider, _, _ := bytes.Cut(rest, []byte(":"))
	switch string(provider) {
	case "aescbc":
		return "aescbc"
	case "aesgcm":
		return "aesgcm"
	case "kms":
		return "kms"
	case "secretbox":
		return "secretbox"
	default:
		return "other"
	}
}
