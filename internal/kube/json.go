// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"bytes"
	"encoding/json"
)

func (o *Object) readJSON(value []byte) bool {
	r := reader{rest: value}
	var version, kind, metadata bool
	r.begin('{')
	for r.key() {
		switch string(r.name) {
		case "apiVersion":
			o.APIVersion, version = r.text(), true
		case "kind":
			o.Kind, kind = r.text(), true
		case "metadata":
			o.readMetadata(&r)
			metadata = true
		default:
			r.skip()
		}
		if version && kind && metadata {
			break // what follows is the object itself
		}
	}
	return !r.broken
}

func (o *Object) readMetadata(r *reader) {
	if !r.begin('{') {
		return
	}
	for r.key() {
		switch string(r.name) {
		case "name":
			o.Name = r.text()
		case "namespace":
			o.Namespace = r.text()
		case "uid":
			o.UID = r.text()
		case "managedFields":
			o.readManagers(r)
		default:
			r.skip()
		}
	}
}

func (o *Object) readManagers(r *reader) {
	if !r.begin('[') {
		return
	}
	var newest []byte
	for r.element() {
		if !r.begin('{') {
			continue
		}
		var manager, operation, time []byte
		for r.key() {
			switch string(r.name) {
			case "manager":
				manager = r.text()
			case "operation":
				operation = r.text()
			case "time":
				time = r.text()
			default:
				r.skip()
			}
		}
		// RFC 3339 in UTC and whole seconds: the order of the text is that of time.
		if bytes.Compare(time, newest) >= 0 {
			newest, o.Manager, o.Operation = time, manager, operation
		}
	}
}

// reader reads JSON from front to back, without recursion and without looking into
// what is skipped. It checks no more than it needs: what it reads has been written
// by an encoder, or it may take it for anything.
type reader struct {
	rest   []byte
	name   []byte // of the key that was read last
	broken bool
}

// peek is the next byte that is no space, 0 at the end.
func (r *reader) peek() byte {
	for i, c := range r.rest {
		if c != ' ' && c != '\n' && c != '\t' && c != '\r' {
			r.rest = r.rest[i:]
			return c
		}
	}
	r.rest = nil
	return 0
}

func (r *reader) fail() {
	r.rest, r.broken = nil, true
}

// begin enters an object or a list. Any other value is skipped.
func (r *reader) begin(c byte) bool {
	if r.peek() != c {
		r.skip()
		return false
	}
	r.rest = r.rest[1:]
	return true
}

// key reads the next key of an object. False is its end, which is behind then.
func (r *reader) key() bool {
	if !r.more('}') {
		return false
	}
	if r.peek() != '"' {
		r.fail()
		return false
	}
	r.name = r.text()
	if r.peek() != ':' {
		r.fail()
		return false
	}
	r.rest = r.rest[1:]
	return true
}

// element tells whether a list goes on.
func (r *reader) element() bool { return r.more(']') }

func (r *reader) more(end byte) bool {
	c := r.peek()
	if c == ',' {
		r.rest = r.rest[1:]
		c = r.peek()
	}
	switch c {
	case end:
		r.rest = r.rest[1:]
		return false
	case 0:
		r.fail()
		return false
	}
	return true
}

// text reads a string. Any other value is skipped, and nil.
func (r *reader) text() []byte {
	if r.peek() != '"' {
		r.skip()
		return nil
	}
	quoted := r.quoted()
	if r.broken {
		return nil
	}
	if bytes.IndexByte(quoted, '\\') < 0 {
		return quoted[1 : len(quoted)-1]
	}
	var s string
	if len(quoted) > 8*maxString || json.Unmarshal(quoted, &s) != nil {
		return nil
	}
	return []byte(s)
}

// quoted takes a string with its quotes.
func (r *reader) quoted() []byte {
	for i := 1; i < len(r.rest); i++ {
		switch r.rest[i] {
		case '\\':
			i++
		case '"':
			s := r.rest[:i+1]
			r.rest = r.rest[i+1:]
			return s
		}
	}
	r.fail()
	return nil
}

// skip takes a value of any kind.
func (r *reader) skip() {
	switch r.peek() {
	case '"':
		r.quoted()
	case '{', '[':
		r.skipNested()
	default:
		n := bytes.IndexAny(r.rest, ",]} \n\t\r")
		if n <= 0 {
			r.fail()
			return
		}
		r.rest = r.rest[n:]
	}
}

func (r *reader) skipNested() {
	depth := 0
	for i := 0; i < len(r.rest); i++ {
		switch r.rest[i] {
		case '"':
			r.rest = r.rest[i:]
			if r.quoted(); r.broken {
				return
			}
			i = -1
		case '{', '[':
			depth++
		case '}', ']':
			depth--
			if depth == 0 {
				r.rest = r.rest[i+1:]
				return
			}
		}
	}
	r.fail()
}
