// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

// Package gobinary reads from a Go executable, stripped or not, what a uprobe
// needs to know: where functions begin, how their prologue looks, where fields
// of structs lie, and which addresses stand for types in interface words.
package gobinary
