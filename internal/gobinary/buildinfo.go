// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package gobinary

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"regexp"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
)

// Build says how an executable was made.
type Build struct {
	GoVersion string            // "go1.19.9"
	Arch      string            // "amd64" or "arm64"
	PIE       bool              // position independent: addresses need the load address of the process
	Base      uint64            // where the file's first byte is as linked; 0 for most PIE, 0x400000 for those of Go 1.26
	Settings  map[string]string // of the go command, such as "CGO_ENABLED"; Go 1.18 and later

	// EtcdVersion is "3.5.9", "" if the file does not say: Debian's builds have
	// no list of modules, and those of etcd 3.7 from a work tree say "(devel)".
	// A label for people, never a condition for anything.
	EtcdVersion string
}

// readBuild reads what the go command has written down about the build.
//
// debug/buildinfo would do, were it not for its trust in the sizes of sections.
func (m *image) readBuild() (Build, error) {
	goVersion, modules, err := m.readBuildInfo()
	if err != nil {
		return Build{}, err
	}
	b := Build{GoVersion: goVersion, Arch: string(m.arch), PIE: m.pie, Base: m.segments[0].addr - m.segments[0].offset, Settings: map[string]string{}}
	info, err := debug.ParseBuildInfo(modules)
	if err != nil {
		return b, nil // a version of the text to come; nothing depends on it
	}
	for _, s := range info.Settings {
		b.Settings[s.Key] = s.Value
	}
	b.EtcdVersion = etcdVersion(info)
	return b, nil
}

// etcdVersion takes the version from the list of modules.
func etcdVersion(info *debug.BuildInfo) string {
	for _, module := range append([]*debug.Module{&info.Main}, info.Deps...) {
		switch module.Path {
		case "go.etcd.io/etcd", "go.etcd.io/etcd/v3", "go.etcd.io/etcd/server/v3", "go.etcd.io/etcd/api/v3":
			// Version 0 is a commit of before etcd's modules were versioned.
			if version, ok := strings.CutPrefix(module.Version, "v"); ok && !strings.HasPrefix(version, "0.") {
				return version
			}
		}
	}
	return ""
}

// goMinor is 19 for "go1.19.9", also if more is around it.
func goMinor(goVersion string) (int, error) {
	if found := regexp.MustCompile(`\bgo1\.(\d{1,3})\b`).FindStringSubmatch(goVersion); found != nil {
		if minor, err := strconv.Atoi(found[1]); err == nil && minor >= layouts[0].minGo {
			return minor, nil
		}
	}
	return 0, fmt.Errorf("%w: Go version %.50q, not go1.%d or later", ErrUnsupported, goVersion, layouts[0].minGo)
}

// readBuildInfo returns Go version and list of modules as the linker put them
// at the start of the data.
//
// Source: Go debug/buildinfo/buildinfo.go, readRawBuildInfo.
func (m *image) readBuildInfo() (goVersion, modules string, _ error) {
	const magic, headerBytes, pointerBytes, inline = "\xff Go buildinf:", 32, 8, 2
	var header []byte
	var at uint64
	candidates := 0
	first := binary.LittleEndian.Uint64([]byte(magic))
	data := m.that(writable)
	slices.Reverse(data) // a position independent executable has up to 10 MB before it that are relocated
	err := m.scan(data, []uint64{first}, func(addr, _ uint64) error {
		p := make([]byte, headerBytes)
		err := m.read(p, addr)
		if err == nil && bytes.HasPrefix(p, []byte(magic)) {
			header, at = p, addr
		}
		if candidates++; header != nil || candidates == maxCandidates {
			return errFound
		}
		return unlessCorrupt(err)
	})
	switch {
	case err != nil:
		return "", "", err
	case header == nil:
		return "", "", fmt.Errorf("%w: no build info (section .go.buildinfo)", ErrNotGo)
	}
	if header[15]&inline != 0 { // since Go 1.18
		if goVersion, at, err = m.inlineString(at + headerBytes); err == nil {
			modules, _, err = m.inlineString(at)
		}
	} else if header[14] == pointerBytes {
		if goVersion, err = m.stringAt(binary.LittleEndian.Uint64(header[16:])); err == nil {
			modules, err = m.stringAt(binary.LittleEndian.Uint64(header[24:]))
		}
	}
	if err != nil {
		return "", "", err
	}
	const frame = 16 // of arbitrary bytes on both sides
	if len(modules) <= 2*frame || modules[len(modules)-frame-1] != '\n' {
		return goVersion, "", nil
	}
	return goVersion, modules[frame : len(modules)-frame], nil
}

// inlineString reads a string that follows its length, and says where it ends.
func (m *image) inlineString(addr uint64) (_ string, end uint64, _ error) {
	var head [binary.MaxVarintLen64]byte
	n, err := m.readUpTo(head[:], addr)
	if err != nil {
		return "", 0, err
	}
	length, size := binary.Uvarint(head[:n])
	if size <= 0 {
		return "", 0, corrupt("length of a string at %#x", addr)
	}
	s, err := m.text(list{addr + uint64(size), length})
	return s, addr + uint64(size) + length, err
}

// stringAt reads the Go string whose header is at addr.
func (m *image) stringAt(addr uint64) (string, error) {
	header, err := m.words(addr, 2)
	if err != nil {
		return "", err
	}
	return m.text(list{header[0], header[1]})
}

// text reads a string of the build info.
func (m *image) text(l list) (string, error) {
	if l.len == 0 {
		return "", nil
	}
	if l.len > maxBuildInfoBytes {
		return "", corrupt("text of %d bytes at %#x", l.len, l.addr)
	}
	p := make([]byte, l.len)
	err := m.read(p, l.addr)
	return string(p), err
}
