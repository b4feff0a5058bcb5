// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package secrets

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/etcdreceiver/etcdreceiver/test/harness"
)

// collectors are those that see all that happens, each with receivers of some
// policies. plain is what they may show of a value that no rule hides.
var collectors = []struct {
	policies []string
	plain    []string // forms; nil: none
	end      syscall.Signal
}{
	{[]string{"none", "size"}, nil, syscall.SIGQUIT},
	{[]string{"hash"}, []string{"sha256"}, syscall.SIGABRT},
	{[]string{"text", "base64"}, []string{"plain", "base64"}, syscall.SIGTERM},
}

func TestNothingThatIsSecretLeavesByAnyWay(t *testing.T) {
	harness.NeedRoot(t)
	harness.Distribution(t)
	for _, etcd := range []struct{ version, tokens string }{{"3.4", "simple"}, {"3.5", "simple"}, {"3.6", "jwt"}, {"3.7", "simple"}} {
		t.Run(etcd.version+" "+etcd.tokens, func(t *testing.T) { search(t, etcd.version, etcd.tokens) })
	}
}

func search(t *testing.T, version, tokens string) {
	w := newWorld(t, version, tokens)
	w.writeExisting()

	w.fail()
	var outlets []*outlet
	for _, c := range collectors {
		outlets = append(outlets, startOutlet(t, w, c.policies))
	}
	for _, o := range outlets {
		o.awaitReady(t)
	}
	each := func(do func(*outlet)) {
		for _, o := range outlets {
			do(o)
		}
	}

	w.doEverything("while all is well")
	each(func(o *outlet) { o.closed.Store(true) })
	w.doEverything("while the backend refuses")
	each(func(o *outlet) { waitFor(t, "a refusal", func() bool { return o.refused.Load() > 0 }) })
	w.killEtcd()
	w.doEverything("while nothing is read")
	w.compact()
	each(func(o *outlet) { o.closed.Store(false) })
	w.end()
	each(func(o *outlet) { o.awaitLast(t) })
	w.hideLast(outlets)
	each(func(o *outlet) { o.readPages(t) })
	for i, o := range outlets {
		o.endBy(t, collectors[i].end)
	}

	if tokens == "simple" {
		w.plantTokens()
	}
	for i, o := range outlets {
		w.judge(o, collectors[i].plain)
		o.assertTold(t)
	}
	for _, o := range w.outlets {
		w.judge(o, nil)
	}
}

// judge searches all that a collector wrote. plain is what it may show of plain values,
// and does: the search finds what is there.
func (w *world) judge(o *outlet, plain []string) {
	w.t.Helper()
	text, shown := o.everything(w.t), map[string]bool{}
	w.t.Logf("%v: %d bytes of %d files searched for %d secrets", o.policies, o.size, len(text), w.planted)
	for name, content := range text {
		for _, found := range w.secrets.Find(content) {
			w.t.Errorf("%v: %s of %s is in %s", o.policies, found.Form, found.What, name)
		}
		for _, found := range w.plain.Find(content) {
			shown[found.Form] = true
			if !slices.Contains(plain, found.Form) {
				w.t.Errorf("%v: %s of %s is in %s", o.policies, found.Form, found.What, name)
			}
		}
	}
	for _, form := range plain {
		assert.True(w.t, shown[form], "%v: %s of plain values", o.policies, form)
	}
}

// everything is all that a collector wrote and said, by file.
func (o *outlet) everything(t *testing.T) map[string][]byte {
	t.Helper()
	require.NoError(t, os.WriteFile(filepath.Join(o.dir, "output"), o.Output(), 0o600))
	all := map[string][]byte{}
	require.NoError(t, filepath.Walk(o.dir, func(path string, info os.FileInfo, err error) error {
		if err != nil || info.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		name := strings.TrimPrefix(path, o.dir)
		all[name] = append([]byte(name+"\n"), content...) // a name tells too
		o.size += len(content)
		return err
	}))
	return all
}

// assertTold: an empty output shows nothing either.
func (o *outlet) assertTold(t *testing.T) {
	t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, policy := range o.policies {
		for _, key := range append(slices.Clone(secretKeys), "/open/value") {
			assert.Contains(t, o.told, policy+" etcd.kv.put "+key)
			assert.Contains(t, o.told, policy+" etcd.kv.delete "+key)
		}
	}
	traced := o.policies[0]
	for _, request := range []string{"put", "txn", "delete", "get", "auth", "lock", "lease", "maintenance"} {
		assert.Contains(t, o.told, traced+" etcd.request."+request+" ", "requests without a key")
	}
	for _, metric := range []string{"etcd.prefix.requests", "etcd.user.requests", "etcd.db.size", "etcd.request.duration"} {
		assert.Contains(t, o.told, fmt.Sprint("metric ", metric))
	}
}
