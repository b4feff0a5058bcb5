// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package etcdreceiver

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"go.opentelemetry.io/collector/confmap"
)

// Unmarshal decodes the configuration, and answers a key that does not exist with
// the one that was probably meant. The collector calls it.
func (c *Config) Unmarshal(conf *confmap.Conf) error {
	if err := unknownKeys("", conf.ToStringMap(), reflect.TypeFor[Config]()); err != nil {
		return err
	}
	return conf.Unmarshal(c)
}

// otherNames are what other receivers, and the collector this one grew out of,
// call our options.
var otherNames = map[string]string{
	"address": "endpoints", "addresses": "endpoints", "endpoint": "endpoints", "etcd_endpoints": "endpoints",
	"host": "endpoints", "hosts": "endpoints", "url": "endpoints", "urls": "endpoints",
	"etcd_username": "username", "user": "username",
	"etcd_password": "password", "pass": "password",
	"buffer_size": "watch.batch.max_records", "interval": "collection_interval", "prefix": "watch.prefixes",
	"checkpoint": "storage", "storage_extension": "storage", "storage_id": "storage",
	"from_revision": "watch.start_revision", "revision": "watch.start_revision", "start_rev": "watch.start_revision",
	"snapshot": "watch.initial_snapshot", "start_at": "watch.start", "start_from": "watch.start",
	"attributes": "labels", "tags": "labels", "insecure": "tls.insecure",
}

// unknownKeys compares the keys of given with the fields of t, in depth. Where a
// type decodes itself, or is open (a map), the keys are its own business.
func unknownKeys(path string, given map[string]any, t reflect.Type) error {
	fields := fieldsOf(t)
	var errs []error
	for _, key := range slices.Sorted(maps.Keys(given)) {
		field, known := fields[key]
		switch {
		case !known:
			errs = append(errs, fmt.Errorf("unknown key %q%s", path+key, suggest(path, key, fields)))
		case field.Kind() == reflect.Struct:
			if nested, ok := given[key].(map[string]any); ok {
				errs = append(errs, unknownKeys(path+key+".", nested, field))
			}
		}
	}
	return errors.Join(errs...)
}

// fieldsOf maps the keys of a configuration struct to the types behind them.
func fieldsOf(t reflect.Type) map[string]reflect.Type {
	out := map[string]reflect.Type{}
	for f := range t.Fields() {
		name, options, _ := strings.Cut(f.Tag.Get("mapstructure"), ",")
		switch {
		case !f.IsExported():
		case strings.Contains(options, "squash"):
			maps.Copy(out, fieldsOf(f.Type))
		case name != "":
			out[name] = optional(f.Type)
		}
	}
	return out
}

// optional looks through configoptional.Optional, which has a method Get that
// gives a pointer to what it holds.
func optional(t reflect.Type) reflect.Type {
	if get, ok := reflect.PointerTo(t).MethodByName("Get"); ok && get.Type.NumOut() == 1 && get.Type.Out(0).Kind() == reflect.Pointer {
		return get.Type.Out(0).Elem()
	}
	return t
}

func suggest(path, key string, fields map[string]reflect.Type) string {
	if meant, ok := otherNames[strings.ToLower(key)]; ok {
		if _, here := fields[meant]; here {
			meant = path + meant
		}
		if strings.HasPrefix(meant, path) {
			return fmt.Sprintf("; did you mean %q?", meant)
		}
	}
	best, distance := "", 3
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if d := editDistance(strings.ToLower(key), name); d < distance {
			best, distance = name, d
		}
	}
	if best != "" {
		return fmt.Sprintf("; did you mean %q?", path+best)
	}
	return "; known here are " + strings.Join(slices.Sorted(maps.Keys(fields)), ", ")
}

// editDistance is the number of letters to change, add or drop (Levenshtein).
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
