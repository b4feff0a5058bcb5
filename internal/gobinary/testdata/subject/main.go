// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

// The program that the tests of gobinary take apart. It prints what it knows
// about itself, which is the truth that they compare with. It must compile with
// Go 1.16.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"reflect"
	"time"
	"unsafe"

	api "example.com/subject/api/status"
	rpc "example.com/subject/rpc/status"
)

type everything struct {
	flag   bool
	Key    []byte
	number int64
	small  int8
	Name   string `json:"name,omitempty"`
	inner  inner
	*pointed
	Next    *everything
	Any     interface{}
	Request request
	array   [3]uint16
	lookup  map[string]int
	call    func(int) error
	done    chan struct{}

	aNameSoLongThatItsLengthNeedsTwoBytes_0123456789_0123456789_0123456789_0123456789_0123456789_0123456789_0123456789_0123456789_end bool

	_    [0]func()
	last struct{}
}

type inner struct {
	a byte
	b complex128
	c byte
}

type pointed struct{ x, y, z int32 }

type empty struct{}

type text string

func (text) isRequest() {}

type request interface{ isRequest() }

type (
	rangeRequest  struct{ Key []byte }
	putRequest    struct{ Key, Value []byte }
	deleteRequest struct{ Key, RangeEnd []byte }
	txnRequest    struct{ Requests []request }
)

func (*rangeRequest) isRequest()  {}
func (*putRequest) isRequest()    {}
func (*deleteRequest) isRequest() {}
func (*txnRequest) isRequest()    {}

var sink = os.Stderr

// The signature of etcd 3.5.
//
//go:noinline
func stats35(ctx context.Context, lg *inner, info *pointed, start time.Time, req, resp interface{}) {
	fmt.Fprintln(sink, ctx, lg, info, start, req, resp)
}

// The signature of etcd 3.6.
//
//go:noinline
func stats36(ctx context.Context, lg *inner, warn time.Duration, info *pointed, start time.Time, req, resp interface{}) {
	fmt.Fprintln(sink, ctx, lg, warn, info, start, req, resp)
}

//go:noinline
func smallFrame(s fmt.Stringer) string { return s.String() }

//go:noinline
func mediumFrame(i int) byte {
	var room [1000]byte
	fill(room[:])
	return room[i]
}

//go:noinline
func hugeFrame(i int) byte {
	var room [60000]byte
	fill(room[:])
	return room[i]
}

//go:noinline
func fill(p []byte) {
	for i := range p {
		p[i] = byte(i)
	}
}

//go:noinline
func leaf(a, b int) int { return a ^ b }

// branching has an indirect call, a comparison with nil and a direct call, in
// this order, as AuthInfoFromCtx of etcd has.
//
//go:noinline
func branching(call func() error) int {
	if err := call(); err != nil {
		return leaf(1, 2)
	}
	return 3
}

type typeTruth struct {
	Name          string
	Addr, Pointer uint64
	Kind          int
	Size          uint64
	Fields        []fieldTruth
}

type fieldTruth struct {
	Name   string
	Offset uint64
	Type   uint64
}

type itabTruth struct {
	Addr                uint64
	Interface, Concrete string
}

type truth struct {
	Types     []typeTruth
	Itabs     []itabTruth
	Functions map[string]uint64
}

// word is the i-th word of the interface value at p.
func word(p unsafe.Pointer, i int) uint64 { return uint64((*[2]uintptr)(p)[i]) }

// addr is the address of the descriptor of t.
func addr(t reflect.Type) uint64 { return word(unsafe.Pointer(&t), 1) }

func describe(t reflect.Type) typeTruth {
	d := typeTruth{Name: t.String(), Addr: addr(t), Pointer: addr(reflect.PtrTo(t)), Kind: int(t.Kind()), Size: uint64(t.Size())}
	if t.Kind() == reflect.Struct {
		for i := 0; i < t.NumField(); i++ {
			f := t.Field(i)
			d.Fields = append(d.Fields, fieldTruth{f.Name, uint64(f.Offset), addr(f.Type)})
		}
	}
	return d
}

func main() {
	ctx := context.WithValue(context.Background(), empty{}, 1)
	if len(os.Args) > 100 { // nothing of this is to run, and the linker must not know
		stats35(ctx, nil, nil, time.Now(), nil, nil)
		stats36(ctx, nil, 0, nil, time.Now(), nil, nil)
		fmt.Println(smallFrame(time.Now()), mediumFrame(len(os.Args)), hugeFrame(len(os.Args)))
		fmt.Println(branching(func() error { return errors.New(os.Args[1]) }))
	}
	requests := []request{&rangeRequest{}, &putRequest{}, &deleteRequest{}, &txnRequest{}, text("")}
	var tcp, unix net.Addr = &net.TCPAddr{}, &net.UnixAddr{}
	t := truth{Functions: map[string]uint64{}}
	for _, v := range []interface{}{
		everything{},
		inner{},
		pointed{},
		empty{},
		text(""),
		api.Status{},
		rpc.Status{},
		rangeRequest{},
		putRequest{},
		deleteRequest{},
		txnRequest{},
		typeTruth{},
		net.TCPAddr{},
		time.Time{},
		net.IPNet{},
	} {
		t.Types = append(t.Types, describe(reflect.TypeOf(v)))
	}
	t.Types = append(t.Types, describe(reflect.TypeOf(ctx).Elem()))
	for i := range requests {
		t.Itabs = append(t.Itabs, itabTruth{word(unsafe.Pointer(&requests[i]), 0), "main.request", reflect.TypeOf(requests[i]).String()})
	}
	for _, a := range []*net.Addr{&tcp, &unix} {
		t.Itabs = append(t.Itabs, itabTruth{word(unsafe.Pointer(a), 0), "net.Addr", reflect.TypeOf(*a).String()})
	}
	for name, f := range map[string]interface{}{
		"main.stats35": stats35, "main.stats36": stats36, "main.smallFrame": smallFrame, "main.mediumFrame": mediumFrame,
		"main.hugeFrame": hugeFrame, "main.leaf": leaf, "main.branching": branching, "main.main": main,
	} {
		t.Functions[name] = uint64(reflect.ValueOf(f).Pointer())
	}
	if err := json.NewEncoder(os.Stdout).Encode(t); err != nil {
		panic(err)
	}
}
