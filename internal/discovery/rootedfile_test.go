// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package discovery

import (
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestReadFileSeesWhatTheProcessSees(t *testing.T) {
	proc := newFakeProc(t)
	outside := filepath.Join(proc.root, "secret")
	proc.write(outside, "of the host")
	proc.add(7, fakeProcess{
		files: map[string]string{
			"/pki/v1/ca.crt": "certificate",
			"/pki/huge":      strings.Repeat("x", maxNamedFileBytes+1),
			"/pki/largest":   strings.Repeat("x", maxNamedFileBytes),
		},
		links: map[string]string{
			"/pki/..data":  "v1", // as Kubernetes mounts a Secret
			"/pki/ca.crt":  "..data/ca.crt",
			"/etc/ssl":     "/pki", // absolute: starts at the root of the process
			"/etc/above":   "../../../../pki/v1/ca.crt",
			"/etc/host":    outside, // does not exist below that root
			"/etc/host-up": "../../../secret",
			"/etc/loop":    "loop",
		},
	})
	tests := map[string]struct {
		name string
		want error
		text string
	}{
		"plain file":                           {name: "/pki/v1/ca.crt"},
		"relative links":                       {name: "/pki/ca.crt"},
		"absolute link to a directory":         {name: "/etc/ssl/ca.crt"},
		"link above the root ends at the root": {name: "/etc/above"},
		"name above the root ends at the root": {name: "/../../pki/./v1//ca.crt"},
		"absolute link to a file of the host":  {name: "/etc/host", want: fs.ErrNotExist},
		"relative link to a file of the host":  {name: "/etc/host-up", want: fs.ErrNotExist},
		"link to itself":                       {name: "/etc/loop", want: errTooManyLinks},
		"directory":                            {name: "/pki", text: "not a regular file"},
		"absent":                               {name: "/pki/absent", want: fs.ErrNotExist},
		"relative name":                        {name: "pki/v1/ca.crt", text: "not an absolute path"},
		"no name":                              {name: "", text: "not an absolute path"},
		"name longer than the kernel takes":    {name: strings.Repeat("/pki", maxPathBytes), text: "not an absolute path"},
		"one byte more than allowed":           {name: "/pki/huge", text: "longer than 1048576 bytes"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			content, err := Scanner{Root: proc.root}.ReadFile(7, tt.name)
			switch {
			case tt.want != nil:
				require.ErrorIs(t, err, tt.want)
			case tt.text != "":
				require.ErrorContains(t, err, tt.text)
			default:
				require.NoError(t, err)
				assert.Equal(t, "certificate", string(content))
			}
		})
	}

	content, err := Scanner{Root: proc.root}.ReadFile(7, "/pki/largest")
	require.NoError(t, err)
	assert.Len(t, content, maxNamedFileBytes)

	_, err = Scanner{Root: proc.root}.ReadFile(8, "/pki/ca.crt")
	assert.ErrorIs(t, err, fs.ErrNotExist, "a process that has ended")
}
