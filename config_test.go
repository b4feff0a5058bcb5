// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package etcdreceiver

import (
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/confmap"
	"go.yaml.in/yaml/v3"

	"github.com/etcdreceiver/etcdreceiver/internal/metadata"
)

// load decodes and validates as the collector does.
func load(t *testing.T, text string) (*Config, error) {
	t.Helper()
	var raw map[string]any
	require.NoError(t, yaml.Unmarshal([]byte(text), &raw))
	c := newDefaultConfig()
	if err := confmap.NewFromStringMap(raw).Unmarshal(c); err != nil {
		return nil, err
	}
	return c, confmap.Validate(c)
}

func TestBadInputIsAnErrorWithPathValueReasonAndRemedy(t *testing.T) {
	unreadable := filepath.Join(t.TempDir(), "absent.pem")
	_, err := os.Open(unreadable)
	var absent *os.PathError
	require.ErrorAs(t, err, &absent) // each system has its own words
	broken := filepath.Join(t.TempDir(), "broken.pem")
	require.NoError(t, os.WriteFile(broken, []byte("not PEM"), 0o600))
	for name, tc := range map[string]struct{ config, want string }{
		"malformed endpoint":             {`endpoints: [etcd-1]`, `endpoints[0] "etcd-1" is not host:port; want for example 10.0.0.1:2379 or [::1]:2379`},
		"path in an endpoint":            {`endpoints: ["a:1", "etcd-2:2379/v3"]`, `endpoints[1] "etcd-2:2379/v3" has a path; want host:port or http(s)://host:port`},
		"comma list in one endpoint":     {`endpoints: ["a:2379,b:2379"]`, `endpoints[0] "a:2379,b:2379" has a comma; write one list entry for each endpoint`},
		"user in an endpoint":            {`endpoints: ["http://u:p@a:2379"]`, `endpoints[0] "http://***@a:2379" has a user; want host:port, and the user in username and password`},
		"unknown scheme":                 {`endpoints: ["etcd://a:2379"]`, `endpoints[0] "etcd://a:2379" has the unknown scheme "etcd"; want http, https or unix`},
		"port out of range":              {`endpoints: ["a:70000"]`, `endpoints[0] "a:70000" has the port "70000"; want a number from 1 to 65535`},
		"no host":                        {`endpoints: [":2379"]`, `endpoints[0] ":2379" has no host; want for example localhost:2379`},
		"empty endpoint":                 {`endpoints: [""]`, `endpoints[0] "" is not host:port`},
		"unix without a path":            {`endpoints: ["unix://"]`, `endpoints[0] "unix://" has no socket path; want unix:///path/to/socket`},
		"duplicate endpoints":            {`endpoints: ["a:1", "http://a:1"]`, `endpoints[1] "http://a:1" is the same as endpoints[0]; remove one`},
		"TLS and plain endpoints":        {`endpoints: ["https://a:1", "http://b:1"]`, `endpoints[0] "https://a:1" is TLS and endpoints[1] "http://b:1" is plain text; a cluster has one of them, use one scheme`},
		"plain endpoint with tls":        {`{endpoints: ["http://a:1"], tls: {}}`, `endpoints[0] "http://a:1" is plain text but tls is set; use https://, or remove tls`},
		"TLS endpoint with insecure":     {`{endpoints: ["https://a:1"], tls: {insecure: true}}`, `endpoints[0] "https://a:1" is TLS but tls.insecure is true; use http://, or remove tls.insecure`},
		"certificate without key":        {`tls: {cert_file: /dev/null}`, `tls.cert_file "/dev/null" is set but tls.key_file is not; a client certificate needs both`},
		"key without certificate":        {`tls: {key_file: /dev/null}`, `tls.key_file "/dev/null" is set but tls.cert_file is not; a client certificate needs both`},
		"unreadable file":                {`tls: {ca_file: ` + unreadable + `}`, `tls.ca_file ` + strconv.Quote(unreadable) + ` cannot be read: ` + absent.Err.Error() + `; check the path and its permissions`},
		"file that is no certificate":    {`tls: {ca_file: ` + broken + `}`, `tls with ca_file ` + strconv.Quote(broken) + `, cert_file "" and key_file "": failed to load TLS config: failed to load CA CertPool File: failed to parse cert`},
		"negative reload":                {`tls: {reload_interval: -1s}`, `tls.reload_interval -1s is negative; want a positive duration, for example 5m`},
		"user without password":          {`username: otel`, `username "otel" has no password; set password, for example ${env:ETCD_PASSWORD}`},
		"password without user":          {`password: x`, `password is set but username is not; set username, or remove password`},
		"zero timeout":                   {`timeout: 0s`, `timeout 0s is not positive; want for example 10s`},
		"negative interval":              {`collection_interval: -10s`, `collection_interval -10s is not positive; want for example 10s`},
		"interval without unit":          {`collection_interval: 10`, `collection_interval 10ns is below 100ms; write a unit, for example 10s`},
		"negative delay":                 {`initial_delay: -1s`, `initial_delay -1s is not positive; want for example 10s`},
		"batch delay without unit":       {`watch: {batch: {max_delay: 200}}`, `watch.batch.max_delay 200ns is below 10ms; write a unit, for example 10s`},
		"retry without unit":             {`retry_on_failure: {initial_interval: 5}`, `retry_on_failure.initial_interval 5ns is below 10ms; write a unit, for example 5s`},
		"retry intervals reversed":       {`retry_on_failure: {initial_interval: 10s, max_interval: 5s}`, `retry_on_failure.max_interval 5s is below initial_interval 10s; want at least that`},
		"negative patience":              {`retry_on_failure: {max_elapsed_time: -1s}`, `retry_on_failure.max_elapsed_time -1s is negative; 0 means for ever`},
		"shrinking waits":                {`retry_on_failure: {multiplier: 0.5}`, `retry_on_failure.multiplier 0.5 is below 1; the waits must not shrink`},
		"too much jitter":                {`retry_on_failure: {randomization_factor: 2}`, `retry_on_failure.randomization_factor 2 is not within 0 and 1`},
		"no records":                     {`watch: {batch: {max_records: 0}}`, `watch.batch.max_records 0 is below 1; want at least that`},
		"no bytes":                       {`watch: {batch: {max_bytes: -1}}`, `watch.batch.max_bytes -1 is below 1024; want at least that`},
		"negative value length":          {`watch: {value: {max_bytes: -5}}`, `watch.value.max_bytes -5 is below 0; want at least that`},
		"unknown policy":                 {`watch: {value: {policy: full}}`, `watch.value.policy "full" is unknown; want none, size, hash, text or base64`},
		"redaction that shows the value": {`watch: {value: {redact: {action: text}}}`, `watch.value.redact.action "text" is unknown; want none, size or hash`},
		"broken pattern":                 {`watch: {value: {redact: {keys: ["ok", "("]}}}`, "watch.value.redact.keys[1] \"(\": error parsing regexp: missing closing ): `(`; want a regular expression in RE2 syntax"},
		"storage that is no id":          {`storage: file storage`, `storage "file storage" is not the id of an extension: in "file storage" id: invalid character(s) in type "file storage"; want for example file_storage or file_storage/etcd`},
		"storage without a type":         {`storage: /etcd`, `storage "/etcd" is not the id of an extension: in "/etcd" id: the part before / should not be empty; want for example`},
		"storage without a name":         {`storage: file_storage/`, `storage "file_storage/" is not the id of an extension: in "file_storage/" id: the part after / should not be empty; want for example`},
		"unknown permanent error":        {`on_permanent_error: retry`, `on_permanent_error "retry" is unknown; want drop or stop`},
		"unknown start":                  {`watch: {start: earliest}`, `watch.start "earliest" is unknown; want resume, latest or revision`},
		"unknown compaction":             {`watch: {on_compaction: ignore}`, `watch.on_compaction "ignore" is unknown; want resync, snapshot or skip`},
		"revision without start":         {`watch: {start_revision: 7}`, `watch.start_revision 7 needs watch.start: revision; set that, or remove watch.start_revision`},
		"revision with latest":           {`watch: {start: latest, start_revision: 7}`, `watch.start_revision 7 needs watch.start: revision; set that, or remove watch.start_revision`},
		"unknown scope":                  {`watch: {scope: member}`, `watch.scope "member" is unknown; want cluster or local`},
		"local scope without eBPF":       {"watch: {scope: local}\nebpf: {mode: disabled}", `watch.scope: local needs to know which member served a change, but ebpf.mode is disabled; use ebpf.mode: auto or required, or watch.scope: cluster`},
		"local scope without authors":    {`watch: {scope: local, authors: false}`, `watch.scope: local needs watch.authors: true, but it is false; set it, or use watch.scope: cluster`},
		"start without revision":         {`watch: {start: revision}`, `watch.start_revision 0 is below 1 but watch.start is revision; set the first revision to deliver, or use watch.start: resume`},
		"negative revision":              {`watch: {start: revision, start_revision: -3}`, `watch.start_revision -3 is below 1 but watch.start is revision; set the first revision to deliver, or use watch.start: resume`},
		"snapshot and a revision":        {`watch: {start: revision, start_revision: 7, initial_snapshot: true}`, `watch.initial_snapshot with watch.start: revision repeats keys; use one`},
		"unknown prometheus":             {`status: {prometheus: "on"}`, `status.prometheus "on" is unknown; want auto, required or disabled`},
		"unknown body":                   {`body: json`, `body "json" is unknown; want sentence or none`},
		"unknown histogram":              {`histogram: exponential`, `histogram "exponential" is unknown; want explicit or none`},
		"no prefixes":                    {`watch: {prefixes: []}`, `watch.prefixes is empty; use [""] for every key, or watch.enabled: false`},
		"prefix twice":                   {`watch: {prefixes: [/a, /a]}`, `watch.prefixes[1] "/a" lies within watch.prefixes[0] "/a", its changes would come twice; remove it`},
		"prefix within a prefix":         {`watch: {prefixes: [/a/b, /a]}`, `watch.prefixes[0] "/a/b" lies within watch.prefixes[1] "/a", its changes would come twice; remove it`},
		"exclude everything":             {`watch: {exclude: [""]}`, `watch.exclude[0] "" excludes every key; remove it, or use watch.enabled: false`},
		"exclude a whole prefix":         {`watch: {prefixes: [/a/b], exclude: [/a]}`, `watch.exclude[0] "/a" excludes all of watch.prefixes[0] "/a/b"; remove one of them`},
		"unknown kubernetes":             {`watch: {kubernetes: "on"}`, `watch.kubernetes "on" is unknown; want auto, enabled or disabled`},
		"no kubernetes prefixes":         {`watch: {kubernetes_prefixes: []}`, `watch.kubernetes_prefixes is empty but watch.kubernetes is auto; name the prefixes, for example /registry/, or use watch.kubernetes: disabled`},
		"kubernetes prefix with no end":  {`watch: {kubernetes_prefixes: [/k8s/, /registry]}`, `watch.kubernetes_prefixes[1] "/registry" does not end with a slash; want for example /registry/`},
		"empty kubernetes prefix":        {`watch: {kubernetes_prefixes: [""]}`, `watch.kubernetes_prefixes[0] "" does not end with a slash; want for example /registry/`},
		"kubernetes prefix in another":   {`watch: {kubernetes_prefixes: [/registry/, /registry/a/]}`, `watch.kubernetes_prefixes[1] "/registry/a/" lies within watch.kubernetes_prefixes[0] "/registry/", its keys would be read wrong; remove one of them`},
		"kubernetes prefix twice":        {`watch: {kubernetes_prefixes: [/registry/, /registry/]}`, `watch.kubernetes_prefixes[1] "/registry/" lies within watch.kubernetes_prefixes[0] "/registry/"`},
		"remote API server that is none": {`watch: {kubernetes_remote_api_servers: [kube-apiserver-etcd-client, ""]}`, `watch.kubernetes_remote_api_servers[1] "" is neither a common name nor an IP address; want for example kube-apiserver-etcd-client or 10.0.0.1`},
		"remote API server mistyped":     {`watch: {kubernetes_remote_api_servers: [10.0.0.256]}`, `watch.kubernetes_remote_api_servers[0] "10.0.0.256" is neither a common name nor an IP address; want for example`},
		"remote API server with a port":  {`watch: {kubernetes_remote_api_servers: ["10.0.0.1:6443"]}`, `watch.kubernetes_remote_api_servers[0] "10.0.0.1:6443" has a port, which is another one for each connection; want the address alone`},
		"remote API servers' network":    {`watch: {kubernetes_remote_api_servers: [10.0.0.0/33]}`, `watch.kubernetes_remote_api_servers[0] "10.0.0.0/33" is no network in CIDR notation; want for example 10.0.0.0/24`},
		"remote API server in a network": {`watch: {kubernetes_remote_api_servers: [10.0.0.1/24]}`, `watch.kubernetes_remote_api_servers[0] "10.0.0.1/24" has bits of a host; want 10.0.0.0/24, or the address alone`},
		"remote API server within IPv6":  {`watch: {kubernetes_remote_api_servers: ["::ffff:10.0.0.0/120"]}`, `watch.kubernetes_remote_api_servers[0] "::ffff:10.0.0.0/120" is IPv4 within IPv6; want it in the notation of IPv4`},
		"remote API server's long name":  {`watch: {kubernetes_remote_api_servers: [` + strings.Repeat("x", 65) + `]}`, `" has 65 bytes, but a common name has at most 64; want that of the certificate's subject alone`},
		"label of ours":                  {`labels: {service.name: x}`, `labels.service.name "x" would replace what the receiver says itself; choose another name`},
		"label without a name":           {`labels: {"": x}`, `labels has an empty name for "x"; give it one`},
		"no disk threshold":              {`ebpf: {disk: {slow_threshold: 0s}}`, `ebpf.disk.slow_threshold 0s is not positive; want for example 100ms`},
		"disk threshold without a unit":  {`ebpf: {disk: {slow_threshold: 100}}`, `ebpf.disk.slow_threshold 100ns is below 1µs; write a unit, for example 100ms`},
		"ebpf mode":                      {`{ebpf: {mode: on}}`, `ebpf.mode "on" is unknown; want auto, required or disabled`},
		"ebpf off and nothing to drop":   {`ebpf: {mode: disabled, drop_capabilities: true}`, `ebpf.drop_capabilities: true drops what nobody uses any more once requests are traced, but ebpf.mode is disabled; do not grant the capabilities, or use ebpf.mode: auto or required`},
		"ebpf events mode":               {`{ebpf: {events: {mode: reads}}}`, `ebpf.events.mode "reads" is unknown; want none, slow, writes or all`},
		"ebpf operation":                 {`{ebpf: {operations: [get, getx]}}`, `ebpf.operations[1] "getx" is unknown; want one of get, put, delete,`},
		"ebpf slow threshold":            {`{ebpf: {events: {slow_threshold: 0s}}}`, `ebpf.events.slow_threshold 0s is not positive; want for example 100ms`},
		"ebpf slow threshold no unit":    {`{ebpf: {events: {slow_threshold: 100}}}`, `ebpf.events.slow_threshold 100ns is below 1µs; write a unit, for example 100ms`},
		"ebpf sample":                    {`{ebpf: {events: {sample_ratio: 1.5}}}`, `ebpf.events.sample_ratio 1.5 is not between 0 and 1`},
		"ebpf negative limit":            {`{ebpf: {events: {max_per_second: -1}}}`, `ebpf.events.max_per_second -1 is negative; want a positive number, or 0 for no limit`},
		"ebpf negative top":              {`{ebpf: {top: -1}}`, `ebpf.top -1 is not between 0 and 100; want for example 20`},
		"ebpf too many names":            {`{ebpf: {top: 101}}`, `ebpf.top 101 is not between 0 and 100; want for example 20`},
		"ebpf rescan":                    {`{ebpf: {processes: {rescan: 5}}}`, `ebpf.processes.rescan 5ns is below 100ms; write a unit, for example 5s`},
		"ebpf name":                      {`{ebpf: {processes: {names: [/usr/bin/etcd]}}}`, `ebpf.processes.names[0] "/usr/bin/etcd" is no base name; want for example etcd`},
		"ebpf path":                      {`{ebpf: {processes: {paths: [/usr/bin/k3s, k3s]}}}`, `ebpf.processes.paths[1] "k3s" is no absolute path in its shortest form; want for example /usr/local/bin/k3s`},
		"ebpf path not clean":            {`{ebpf: {processes: {paths: [/usr//bin/k3s]}}}`, `ebpf.processes.paths[0] "/usr//bin/k3s" is no absolute path in its shortest form; want for example /usr/local/bin/k3s`},
		"ebpf pid":                       {`{ebpf: {processes: {pids: [0]}}}`, `ebpf.processes.pids[0] 0 is no process id; want a positive number`},
		"ebpf ring":                      {`{ebpf: {ring_buffer_size: 100000}}`, `ebpf.ring_buffer_size 100000 is no power of two from 65536 to 1073741824; want for example 8388608`},
		"nothing to do":                  {`{watch: {enabled: false}, status: {enabled: false}, ebpf: {mode: disabled}}`, `watch.enabled and status.enabled are both false and ebpf.mode is disabled, so the receiver would do nothing; enable one, or remove the receiver`},
		"typo":                           {`endpoint: a`, `unknown key "endpoint"; did you mean "endpoints"?`},
		"letters swapped":                {`colection_interval: 1s`, `unknown key "colection_interval"; did you mean "collection_interval"?`},
		"name of the earlier collector":  {`etcd_username: a`, `unknown key "etcd_username"; did you mean "username"?`},
		"other receivers' name":          {`hosts: [a]`, `unknown key "hosts"; did you mean "endpoints"?`},
		"other receivers' storage":       {`storage_id: file_storage`, `unknown key "storage_id"; did you mean "storage"?`},
		"filelog's start":                {`watch: {start_at: end}`, `unknown key "watch.start_at"; did you mean "watch.start"?`},
		"start outside watch":            {`start_from: latest`, `unknown key "start_from"; did you mean "watch.start"?`},
		"typo below":                     {`watch: {prefix: [a]}`, `unknown key "watch.prefix"; did you mean "watch.prefixes"?`},
		"typo far below":                 {`watch: {value: {redact: {key: [a]}}}`, `unknown key "watch.value.redact.key"; did you mean "watch.value.redact.keys"?`},
		"typo in tls":                    {`tls: {ca: a}`, `unknown key "tls.ca"; known here are `},
		"insecure outside tls":           {`insecure: true`, `unknown key "insecure"; did you mean "tls.insecure"?`},
		"unknown event":                  {`events: {etcd.kv.putt: {enabled: true}}`, `unknown key "events.etcd.kv.putt"; did you mean "events.etcd.kv.put"?`},
		"far from every key":             {`watch: {zzzzzz: 1}`, `unknown key "watch.zzzzzz"; known here are authors, batch, enabled, exclude, initial_snapshot, kubernetes, kubernetes_api_servers, kubernetes_prefixes, kubernetes_remote_api_servers, on_compaction, prefixes, prev_kv, scope, start, start_revision, value`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := load(t, tc.config)
			require.Error(t, err)
			assert.Contains(t, err.Error(), tc.want)
		})
	}
}

func TestAllErrorsAreToldAtOnce(t *testing.T) {
	_, err := load(t, `{endpoints: [x], timeout: 0s, body: json, watch: {value: {policy: full}}, username: u}`)
	require.Error(t, err)
	for _, path := range []string{"endpoints[0]", "timeout", "body", "watch.value.policy", "username"} {
		assert.Contains(t, err.Error(), path)
	}
}

func TestAPasswordAppearsInNoError(t *testing.T) {
	_, err := load(t, `{username: u, password: hunter2, timeout: 0s, endpoints: [x, "http://u:hunter2@a:1", "etcd://u:hunter2@a:1", "u:hunter2@a:1", "u:hunter2@"]}`)
	require.Error(t, err)
	assert.NotContains(t, err.Error(), "hunter2")
}

func TestGoodInputIsAccepted(t *testing.T) {
	for name, config := range map[string]string{
		"nothing":                          `{}`,
		"host and port":                    `endpoints: ["10.0.0.1:2379", "[::1]:2379", "etcd-0.etcd:2379"]`,
		"trailing slash":                   `endpoints: ["http://a:2379/"]`,
		"unix":                             `endpoints: ["unix:///run/etcd.sock"]`,
		"TLS by scheme":                    `endpoints: ["https://a:1", "https://b:1"]`,
		"TLS by presence":                  `{endpoints: ["a:1"], tls: {}}`,
		"plain text, said explicitly":      `{endpoints: ["a:1"], tls: {insecure: true}}`,
		"storage":                          `storage: file_storage`,
		"storage with a name":              `storage: file_storage/etcd`,
		"stop":                             `on_permanent_error: stop`,
		"a revision":                       `watch: {start: revision, start_revision: 7}`,
		"a revision beyond 32 bits":        `watch: {start: revision, start_revision: 5000000000}`,
		"snapshot":                         `{storage: file_storage, watch: {initial_snapshot: true}}`,
		"snapshot at every start":          `watch: {start: latest, initial_snapshot: true}`,
		"snapshot after a compaction":      `watch: {on_compaction: snapshot}`,
		"nothing after a compaction":       `watch: {on_compaction: skip}`,
		"labels":                           `labels: {environment: prod}`,
		"disjoint prefixes":                `watch: {prefixes: [/a/, /b/], exclude: [/a/x]}`,
		"another cluster's prefix":         `watch: {kubernetes_prefixes: [/registry/, /vcluster/registry/]}`,
		"Kubernetes left alone":            `watch: {kubernetes: disabled, kubernetes_prefixes: []}`,
		"Kubernetes in any case":           `watch: {kubernetes: enabled}`,
		"no delay":                         `initial_delay: 0s`,
		"a metric and an event switched":   `{metrics: {etcd.db.size: {enabled: false}}, events: {etcd.member.status: {enabled: true}}}`,
		"a resource attribute switched":    `resource_attributes: {server.port: {enabled: false}}`,
		"no names and no limit":            `ebpf: {top: 0, events: {max_per_second: 0}}`,
		"capabilities are dropped":         `ebpf: {drop_capabilities: true}`,
		"most names and a limit":           `ebpf: {top: 100, events: {max_per_second: 5000}}`,
		"retry switched off needs no time": `retry_on_failure: {enabled: false, initial_interval: 0s}`,
	} {
		t.Run(name, func(t *testing.T) {
			_, err := load(t, config)
			require.NoError(t, err)
		})
	}
}

func TestDefaultsAreThoseOfTheDocumentation(t *testing.T) {
	c, err := load(t, `{}`)
	require.NoError(t, err)
	assert.Equal(t, newDefaultConfig(), c)
	assert.Zero(t, c.RetryOnFailure.MaxElapsedTime, "never give up")
	assert.Empty(t, c.Storage)
	assert.Equal(t, "drop", c.OnPermanentError)
	assert.Equal(t, "resume", c.Watch.Start)
	assert.Zero(t, c.Watch.StartRevision)
	assert.False(t, c.Watch.InitialSnapshot)
	assert.Equal(t, "resync", c.Watch.OnCompaction)
	assert.True(t, c.Events.EtcdKvPut.Enabled)
	assert.False(t, c.Events.EtcdMemberStatus.Enabled)
}

func TestValidateChangesNothing(t *testing.T) {
	c, err := load(t, `{endpoints: ["a:1"], watch: {prefixes: [/a]}}`)
	require.NoError(t, err)
	again, err := load(t, `{endpoints: ["a:1"], watch: {prefixes: [/a]}}`)
	require.NoError(t, err)
	require.NoError(t, confmap.Validate(c))
	assert.Equal(t, again, c)
}

func TestLabelsMayNotTakeTheNamesOfMetadataYAML(t *testing.T) {
	var declared []string
	attributes := reflect.TypeFor[metadata.ResourceAttributesConfig]()
	for f := range attributes.Fields() {
		declared = append(declared, f.Tag.Get("mapstructure"))
	}
	slices.Sort(declared)
	assert.Equal(t, declared, resourceAttributes)
}

func TestREADMEHasEveryOption(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	for key := range fieldsOf(reflect.TypeFor[Config]()) {
		assert.True(t, strings.Contains(string(readme), "`"+key+"`"), "README.md does not mention the option %s", key)
	}
}

// There is no other system to run this on, but nothing that could differ there
// either.
func TestTheConfigurationIsCheckedAlikeOnEverySystem(t *testing.T) {
	files := func(system string) string {
		list := exec.CommandContext(t.Context(), "go", "list", "-f", "{{.ImportPath}} {{.GoFiles}}", ".", "./internal/metadata", "./internal/etcdclient", "./internal/redact")
		list.Env = append(os.Environ(), "GOOS="+system)
		out, err := list.CombinedOutput()
		require.NoError(t, err, "%s", out)
		return string(out)
	}
	here := files("linux")
	require.Contains(t, here, "config.go")
	for _, system := range []string{"darwin", "windows"} {
		assert.Equal(t, here, files(system), "files for %s only", system)
	}
	for _, file := range []string{"config.go", "unmarshal.go"} {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		assert.NotRegexp(t, `"(runtime|path/filepath)"`, string(text), "%s asks where it runs", file)
	}
}
