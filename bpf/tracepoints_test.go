// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package bpf

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// formats are what tracefs has said, without the fields that all events have.
var formats = map[string]format{
	"inet_sock_set_state of 4.18": format(`
	field:const void * skaddr;	offset:8;	size:8;	signed:0;
	field:int oldstate;	offset:16;	size:4;	signed:1;
	field:int newstate;	offset:20;	size:4;	signed:1;
	field:__u16 sport;	offset:24;	size:2;	signed:0;
	field:__u16 dport;	offset:26;	size:2;	signed:0;
	field:__u16 family;	offset:28;	size:2;	signed:0;
	field:__u8 protocol;	offset:30;	size:1;	signed:0;
	field:__u8 saddr[4];	offset:31;	size:4;	signed:0;
	field:__u8 daddr[4];	offset:35;	size:4;	signed:0;
	field:__u8 saddr_v6[16];	offset:39;	size:16;	signed:0;
	field:__u8 daddr_v6[16];	offset:55;	size:16;	signed:0;

print fmt: "family=%s protocol=%s sport=%hu dport=%hu saddr=%pI4 daddr=%pI4 saddrv6=%pI6c daddrv6=%pI6c oldstate=%s newstate=%s", REC->sport
`),
	"inet_sock_set_state of 5.10": format(`
	field:const void * skaddr;	offset:8;	size:8;	signed:0;
	field:int oldstate;	offset:16;	size:4;	signed:1;
	field:int newstate;	offset:20;	size:4;	signed:1;
	field:__u16 sport;	offset:24;	size:2;	signed:0;
	field:__u16 dport;	offset:26;	size:2;	signed:0;
	field:__u16 family;	offset:28;	size:2;	signed:0;
	field:__u16 protocol;	offset:30;	size:2;	signed:0;
	field:__u8 saddr[4];	offset:32;	size:4;	signed:0;
	field:__u8 daddr[4];	offset:36;	size:4;	signed:0;
	field:__u8 saddr_v6[16];	offset:40;	size:16;	signed:0;
	field:__u8 daddr_v6[16];	offset:56;	size:16;	signed:0;
`),
	"tcp_retransmit_skb of 6.18": format(`
	field:const void * skbaddr;	offset:8;	size:8;	signed:0;
	field:const void * skaddr;	offset:16;	size:8;	signed:0;
	field:int state;	offset:24;	size:4;	signed:1;
	field:__u16 sport;	offset:28;	size:2;	signed:0;
	field:__u16 dport;	offset:30;	size:2;	signed:0;
	field:__u16 family;	offset:32;	size:2;	signed:0;
	field:__u8 saddr[4];	offset:34;	size:4;	signed:0;
	field:__u8 daddr[4];	offset:38;	size:4;	signed:0;
	field:__u8 saddr_v6[16];	offset:42;	size:16;	signed:0;
	field:__u8 daddr_v6[16];	offset:58;	size:16;	signed:0;
	field:int err;	offset:76;	size:4;	signed:1;
`),
	"ext4_sync_file_enter of 6.18": format(`
	field:dev_t dev;	offset:8;	size:4;	signed:0;
	field:ino_t ino;	offset:16;	size:8;	signed:0;
	field:ino_t parent;	offset:24;	size:8;	signed:0;
	field:int datasync;	offset:32;	size:4;	signed:1;
`),
}

func TestAFieldIsWhereTheFormatOfTheEventSays(t *testing.T) {
	type at struct{ offset, size uint32 }
	for event, fields := range map[string]map[string]at{
		"inet_sock_set_state of 4.18":  {"skaddr": {8, 8}, "newstate": {20, 4}, "dport": {26, 2}, "protocol": {30, 1}, "saddr": {31, 4}, "saddr_v6": {39, 16}},
		"inet_sock_set_state of 5.10":  {"oldstate": {16, 4}, "protocol": {30, 2}, "daddr": {36, 4}, "daddr_v6": {56, 16}},
		"tcp_retransmit_skb of 6.18":   {"skaddr": {16, 8}, "sport": {28, 2}, "saddr_v6": {42, 16}},
		"ext4_sync_file_enter of 6.18": {"dev": {8, 4}, "ino": {16, 8}},
	} {
		for name, want := range fields {
			offset, size, err := formats[event].field(name)
			require.NoError(t, err, "%s: %s", event, name)
			assert.Equal(t, want, at{offset, size}, "%s: %s", event, name)
		}
	}
}

func TestAFieldThatIsNotThereIsAnError(t *testing.T) {
	for name, text := range map[string]format{
		"skaddr": formats["ext4_sync_file_enter of 6.18"],
		"addr":   formats["inet_sock_set_state of 5.10"],
		"_v6":    formats["inet_sock_set_state of 5.10"],
		"far":    format("\tfield:int far;\toffset:99999;\tsize:4;\tsigned:1;\n"),
		"":       nil,
	} {
		_, _, err := text.field(name)
		assert.Error(t, err, "%q", name)
	}
	assert.Error(t, tracepoint{"sock", "no_such_event", ""}.fields(map[string]*uint32{"skaddr": new(uint32)}))
}
