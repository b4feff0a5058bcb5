// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package redact

import (
	"encoding/base64"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestPolicyDecidesWhatOfAValueIsShown(t *testing.T) {
	const sum = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824" // sha256("hello")
	for name, tc := range map[string]struct {
		policy Policy
		max    int
		value  string
		shows  string
		want   Value
	}{
		"none shows not even the length": {None, 0, "hello", "", Value{}},
		"unset shows nothing":            {"", 0, "hello", "", Value{}},
		"size":                           {Size, 0, "hello", "", Value{Length, 5}},
		"hash":                           {Hash, 0, "hello", sum, Value{Length | Digest, 5}},
		"text":                           {Text, 0, "hello", "hello", Value{Length | Content, 5}},
		"empty text is shown as empty":   {Text, 0, "", "", Value{Length | Content, 0}},
		"binary under text is base64":    {Text, 0, "\xff\x00", "/wA=", Value{Length | Content | IsBase64, 2}},
		"base64":                         {Base64, 0, "hello", "aGVsbG8=", Value{Length | Content | IsBase64, 5}},
		"text is cut and marked":         {Text, 3, "hello", "hel", Value{Length | Content | IsTruncated, 5}},
		"a character is never cut":       {Text, 2, "aé", "a", Value{Length | Content | IsTruncated, 3}},
		"base64 is cut before encoding":  {Base64, 3, "hello", "aGVs", Value{Length | Content | IsBase64 | IsTruncated, 5}},
	} {
		t.Run(name, func(t *testing.T) {
			r := Rules{MaxBytes: tc.max}
			shows, v := r.Append([]byte("before "), tc.policy, []byte(tc.value))
			assert.Equal(t, "before "+tc.shows, string(shows))
			assert.Equal(t, tc.want, v)
		})
	}
}

func TestRedactionWinsOverThePolicyAndNeverShowsMore(t *testing.T) {
	keys, err := Compile([]string{"^/registry/secrets/", "(?i)password"})
	require.NoError(t, err)
	for name, tc := range map[string]struct {
		policy, action Policy
		key            string
		want           Policy
	}{
		"no match":                         {Text, Size, "/config/host", Text},
		"prefix matches":                   {Text, Size, "/registry/secrets/ns/x", Size},
		"case does not matter":             {Text, None, "/db/PassWord", None},
		"a hash is not given under size":   {Size, Hash, "/db/password", Size},
		"a length is not given under none": {None, Hash, "/db/password", None},
	} {
		t.Run(name, func(t *testing.T) {
			r := Rules{Policy: tc.policy, Action: tc.action, Keys: keys}
			assert.Equal(t, tc.want, r.For([]byte(tc.key)))
		})
	}
}

func TestCompileNamesTheBrokenPattern(t *testing.T) {
	_, err := Compile([]string{"ok", "("})
	require.Error(t, err)
	assert.Contains(t, err.Error(), `[1] "("`)
}

func FuzzShownTextIsAlwaysUTF8AndNeverLongerThanAllowed(f *testing.F) {
	f.Add([]byte("hello"), 3)
	f.Add([]byte("\xff\xfe"), 1)
	f.Add([]byte("aé"), 2)
	f.Fuzz(func(t *testing.T, value []byte, limit int) {
		r := Rules{MaxBytes: max(limit, 0)}
		for _, p := range []Policy{None, Size, Hash, Text, Base64} {
			appended, v := r.Append(nil, p, value)
			shown := string(appended)
			require.True(t, utf8.ValidString(shown))
			require.Equal(t, p == Hash, v.Has(Digest))
			if !v.Has(Content) {
				require.Equal(t, v.Has(Digest), shown != "")
				continue
			}
			if v.Has(IsBase64) {
				raw, err := base64.StdEncoding.DecodeString(shown)
				require.NoError(t, err)
				shown = string(raw)
			}
			require.True(t, strings.HasPrefix(string(value), shown))
			require.True(t, r.MaxBytes == 0 || len(shown) <= r.MaxBytes)
			require.Equal(t, len(shown) < len(value), v.Has(IsTruncated))
		}
	})
}
