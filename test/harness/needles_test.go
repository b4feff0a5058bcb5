// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestANeedleIsFoundHoweverItIsWritten(t *testing.T) {
	const secret = "s3cret-of-forty-bytes-0123456789-abcdefg"
	inJSON, _ := json.Marshal([]byte("{" + secret + "}"))
	for name, hay := range map[string]string{
		"as it is":          "user " + secret + ".",
		"in other letters":  strings.ToUpper(secret),
		"its first half":    secret[:20],
		"its last half":     secret[20:],
		"its middle":        secret[11:30],
		"in hex":            hex.EncodeToString([]byte(secret)),
		"in hex of Go":      fmt.Sprintf("% X", secret),
		"in JSON":           string(inJSON),
		"a list of numbers": fmt.Sprint([]byte(secret)),
		"Go's source":       fmt.Sprintf("%#v", []byte(secret)),
		"in a URL":          "?" + url.QueryEscape(secret),
		"in base64":         base64.StdEncoding.EncodeToString([]byte(secret)),
		"in base64 after a": base64.URLEncoding.EncodeToString([]byte("a" + secret)),
		"in base64 after b": base64.StdEncoding.EncodeToString([]byte("bb" + secret + "end")),
		"in wide letters":   string(bytes.Join(bytes.Split([]byte(secret), nil), []byte{0})),
	} {
		shown, hash := Shows([]byte("\xff\xfe"+hay+"\n"), secret)
		assert.True(t, shown, name)
		assert.False(t, hash, name)
	}
	for name, hay := range map[string]string{
		"another one": strings.Replace(secret, "-", "+", -1), "too short a part": secret[:9], "nothing": "",
	} {
		shown, hash := Shows([]byte(hay), secret)
		assert.False(t, shown || hash, name)
	}
}
