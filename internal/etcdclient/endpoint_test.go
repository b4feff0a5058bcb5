// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package etcdclient

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestEndpointsAreReadInEveryFormThatIsDocumented(t *testing.T) {
	for text, want := range map[string]struct {
		endpoint    Endpoint
		address     string
		metricsURL  string
		secure, raw bool
	}{
		"10.0.0.1:2379":        {Endpoint{"", "10.0.0.1", 2379, ""}, "10.0.0.1:2379", "http://10.0.0.1:2379/metrics", false, true},
		"[::1]:2379":           {Endpoint{"", "::1", 2379, ""}, "[::1]:2379", "http://[::1]:2379/metrics", false, true},
		"http://a:1/":          {Endpoint{"http", "a", 1, ""}, "a:1", "http://a:1/metrics", false, false},
		"https://a:1":          {Endpoint{"https", "a", 1, ""}, "a:1", "https://a:1/metrics", true, false},
		"unix:///run/e.sock":   {Endpoint{"unix", "", 0, "/run/e.sock"}, "/run/e.sock", "http://localhost/metrics", false, false},
		"unixs:///run/e.sock":  {Endpoint{"unixs", "", 0, "/run/e.sock"}, "/run/e.sock", "https://localhost/metrics", true, false},
		"unix://relative.sock": {Endpoint{"unix", "", 0, "relative.sock"}, "relative.sock", "http://localhost/metrics", false, false},
	} {
		t.Run(text, func(t *testing.T) {
			got, err := ParseEndpoint(text)
			require.NoError(t, err)
			assert.Equal(t, want.endpoint, got)
			assert.Equal(t, want.address, got.Address())
			assert.Equal(t, want.metricsURL, got.metricsURL())
			assert.Equal(t, want.secure, got.Secure())
			assert.Equal(t, want.raw, !got.Secure() && !got.Plain())
		})
	}
}

func FuzzAnEndpointThatIsReadCanBeWrittenAndReadAgain(f *testing.F) {
	for _, s := range []string{"a:1", "http://a:1", "https://[::1]:2379", "unix:///x", "http://a:1/v3", "a,b:1", "://", "[::1%eth0]:1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		e, err := ParseEndpoint(text)
		if err != nil {
			return
		}
		again, err := ParseEndpoint(e.String())
		require.NoError(t, err)
		require.Equal(t, e, again)
		_ = e.metricsURL()
	})
}
