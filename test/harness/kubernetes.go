// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"encoding/base64"
	"fmt"
)

// KubernetesSecret is a Secret with a needle in its data, and in the annotation in
// which kubectl apply repeats all of it.
func KubernetesSecret(needle string, protobuf bool) string {
	data := base64.StdEncoding.EncodeToString([]byte(needle))
	if protobuf {
		return fmt.Sprintf("k8s\x00\x0a\x0c\x0a\x02v1\x12\x06Secret\x12%c%s\x1a\x00\"\x00", rune(len(needle)), needle)
	}
	return fmt.Sprintf(`{"apiVersion":"v1","data":{"password":%q},"kind":"Secret","metadata":{"annotations":{"last-applied":"{\"stringData\":{\"password\":%q}}"},"name":"s","namespace":"default"},"stringData":{"password":%q}}`, data, needle, needle)
}
