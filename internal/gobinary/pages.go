// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package gobinary

import "sync"

const pageBytes = 4096

// pages keeps what small pieces were read from. To find a type by its name and
// to read its fields takes 50 of them, mostly from the same few hundred pages. The
// zero value is ready; safe for concurrent use.
type pages struct {
	mu   sync.Mutex
	kept map[pageKey][]byte
	read int // at most maxPages
}

// pageKey is a page of a segment: in a hostile file they overlap.
type pageKey struct {
	of   segment
	addr uint64
}

// copy fills p with the memory of s at addr.
func (c *pages) copy(m *image, s segment, p []byte, addr uint64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(p) > 0 {
		begin := max(addr&^(pageBytes-1), s.addr)
		page, err := c.page(m, s, begin)
		if err != nil {
			return err
		}
		n := copy(p, page[addr-begin:])
		p, addr = p[n:], addr+uint64(n)
	}
	return nil
}

// page returns the memory of s from begin to the end of that page or of s.
func (c *pages) page(m *image, s segment, begin uint64) ([]byte, error) {
	key := pageKey{s, begin}
	if page := c.kept[key]; page != nil {
		return page, nil
	}
	if c.read++; c.read > maxPages {
		return nil, corrupt("more than %d pages were read for what is asked of it", maxPages)
	}
	page := make([]byte, min(pageBytes-begin%pageBytes, s.size-(begin-s.addr)))
	if err := m.readSegment(s, page, begin); err != nil {
		return nil, err
	}
	if c.kept == nil || len(c.kept) >= maxPagesKept {
		c.kept = map[pageKey][]byte{}
	}
	c.kept[key] = page
	return page, nil
}
