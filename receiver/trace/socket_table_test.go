// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package trace

import (
	"net"
	"net/netip"
	"os"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/etcdreceiver/etcdreceiver/bpf"
)

const (
	titles     = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
	listenRow  = "   0: 0100007F:094B 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 82032 2 000000008f578d23 100 0 0 10 0\n"
	stalledRow = "   7: 0B1412C6:094C 0C1412C6:C350 01 00000040:00000000 01:000000A1 00000003     0        0 82040 4 000000008f578d24 211 4 30 1 7\n"
	askedRow   = "   8: 0B1412C6:094B 0D1412C6:C351 03 00000000:00000000 01:00000051 00000001     0        0 0 1 000000008f578d25\n"
	waitRow    = "   9: 0100007F:C352 0100007F:094B 06 00000000:00000000 03:00001501 00000000     0        0 0 3 000000008f578d26\n"
	mappedRow  = "   1: 0000000000000000FFFF00000100007F:094B 0000000000000000FFFF00000100007F:C353 01 00000000:00000000 00:00000000 00000000     0        0 82041 1 000000008f578d27 20 4 30 10 -1\n"
	sixRow     = "   2: 000000FD000000000000000001000000:094B 000000FD000000000000000002000000:C354 08 00000000:00000001 00:00000000 00000000     0        0 82042 1 000000008f578d28 20 4 30 10 -1\n"
)

func TestATableOfSocketsIsRead(t *testing.T) {
	rows, err := parseSocketTable(nil, titles+listenRow+stalledRow+askedRow+waitRow)
	require.NoError(t, err)
	rows, err = parseSocketTable(rows, titles+mappedRow+sixRow)
	require.NoError(t, err)
	assert.Equal(t, []socketRow{
		{bpf.Ends{Local: at("127.0.0.1:2379"), Remote: at("0.0.0.0:0")}, stateListen, 0, 82032},
		{bpf.Ends{Local: at("198.18.20.11:2380"), Remote: at("198.18.20.12:50000")}, 1, 3, 82040},
		{bpf.Ends{Local: at("198.18.20.11:2379"), Remote: at("198.18.20.13:50001")}, stateSynRecv, 1, 0},
		{bpf.Ends{Local: at("127.0.0.1:50002"), Remote: at("127.0.0.1:2379")}, stateTimeWait, 0, 0},
		{bpf.Ends{Local: at("127.0.0.1:2379"), Remote: at("127.0.0.1:50003")}, 1, 0, 82041},
		{bpf.Ends{Local: at("[fd00::1]:2379"), Remote: at("[fd00::2]:50004")}, 8, 0, 82042},
	}, rows)
	open := []bool{}
	for _, r := range rows {
		open = append(open, r.isOpen())
	}
	assert.Equal(t, []bool{false, true, false, false, true, true}, open)
}

func TestWhatIsNoTableOfSocketsIsAnError(t *testing.T) {
	for _, line := range []string{
		"\n", "0: 0100007F:094B\n",
		"   0: 0100007F 00000000:0000 0A 0:0 00:0 00000000 0 0 82032\n",            // no port
		"   0: 01007F:094B 00000000:0000 0A 0:0 00:0 00000000 0 0 82032\n",         // three bytes
		"   0: 0100007F:094B 00000000:0000 listens 0:0 00:0 00000000 0 0 82032\n",  // a word
		"   0: 0100007F:094B 00000000:0000 0A 0:0 00:0 00000000 0 0 socket:[17]\n", // no number
	} {
		_, err := parseSocketTable(nil, titles+line)
		assert.Error(t, err, "%q", line)
	}
}

func FuzzATableOfSockets(f *testing.F) {
	f.Add(titles + listenRow + stalledRow + askedRow + waitRow)
	f.Add(titles + mappedRow + sixRow)
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		rows, err := parseSocketTable(nil, text)
		for _, r := range rows {
			require.NoError(t, err)
			require.True(t, r.Local.IsValid() && r.Remote.IsValid())
			require.False(t, r.Local.Addr().Is4In6())
		}
	})
}

func TestOurOwnSocketsAreInTheTableOfOurNameSpace(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Logf("NOT PROVEN for %s: %v", address, err)
			continue
		}
		c, err := net.Dial("tcp", l.Addr().String())
		require.NoError(t, err)
		local, remote := netip.MustParseAddrPort(c.LocalAddr().String()), netip.MustParseAddrPort(c.RemoteAddr().String())
		rows, err := readSocketTable("/proc", os.Getpid())
		require.NoError(t, err)
		own, err := socketInodes("/proc", os.Getpid())
		require.NoError(t, err)
		has := func(state socketState, ends bpf.Ends) bool {
			return slices.ContainsFunc(rows, func(r socketRow) bool {
				return own[r.inode] && r.state == state && r.Local == ends.Local && (r.Remote == ends.Remote || state == stateListen)
			})
		}
		assert.True(t, has(1, bpf.Ends{Local: local, Remote: remote}), address)
		assert.True(t, has(stateListen, bpf.Ends{Local: remote}), address)
		require.NoError(t, c.Close())
		require.NoError(t, l.Close())
	}
	network, err := networkOf("/proc", os.Getpid())
	require.NoError(t, err)
	assert.NotZero(t, network)
	_, err = readSocketTable("/proc", 1<<30)
	assert.ErrorIs(t, err, os.ErrNotExist)
}
