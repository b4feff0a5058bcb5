// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package etcdreceiver

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/configretry"
	"go.opentelemetry.io/collector/config/configtls"

	"github.com/etcdreceiver/etcdreceiver/internal/etcdclient"
	"github.com/etcdreceiver/etcdreceiver/internal/logrecord"
	"github.com/etcdreceiver/etcdreceiver/internal/metadata"
	"github.com/etcdreceiver/etcdreceiver/internal/redact"
)

// validateConfig finds all that can be found without a connection, and tells all
// of it at once. Each message has the path of the setting, its value, what is
// wrong with it and what would be right.
func validateConfig(c *Config) error {
	return errors.Join(
		validateEndpoints(c),
		validateUser(c),
		validateTLS(c),
		validateDurations(c),
		validateLabels(c.Labels),
		validateStorage(c.Storage),
		oneOf("on_permanent_error", c.OnPermanentError, "drop", "stop"),
		validateWatch(&c.Watch),
		oneOf("status.prometheus", c.Status.Prometheus, "auto", "required", "disabled"),
		oneOf("body", c.Body, "sentence", "none"),
		oneOf("histogram", c.Histogram, "explicit", "none"),
		validateTiers(c), validateScope(c),
		errors.Join(validateEbpf(&c.Ebpf)...),
	)
}

func oneOf(path, value string, allowed ...string) error {
	if slices.Contains(allowed, value) {
		return nil
	}
	last := len(allowed) - 1
	return fmt.Errorf("%s %q is unknown; want %s or %s", path, value, strings.Join(allowed[:last], ", "), allowed[last])
}

func validateEndpoints(c *Config) error {
	var errs []error
	seen := map[string]int{}
	secure, plain := -1, -1
	for i, text := range c.Endpoints {
		e, err := etcdclient.ParseEndpoint(text)
		text = withoutUser(text)
		if err != nil {
			errs = append(errs, fmt.Errorf("endpoints[%d] %q %w", i, text, err))
			continue
		}
		if first, ok := seen[e.Address()]; ok {
			errs = append(errs, fmt.Errorf("endpoints[%d] %q is the same as endpoints[%d]; remove one", i, text, first))
		} else {
			seen[e.Address()] = i
		}
		switch {
		case e.Secure():
			secure = i
		case e.Plain():
			plain = i
		}
	}
	if secure >= 0 && plain >= 0 {
		errs = append(errs, fmt.Errorf("endpoints[%d] %q is TLS and endpoints[%d] %q is plain text; a cluster has one of them, use one scheme", secure, c.Endpoints[secure], plain, c.Endpoints[plain]))
	}
	return errors.Join(append(errs, validateSchemes(c, secure, plain))...)
}

// withoutUser masks a user and password that somebody put into an endpoint, so
// that no message repeats them.
func withoutUser(endpoint string) string {
	at := strings.LastIndexByte(endpoint, '@')
	if at < 0 {
		return endpoint
	}
	scheme := ""
	if i := strings.Index(endpoint, "://"); i >= 0 && i < at {
		scheme = endpoint[:i+3]
	}
	return scheme + "***" + endpoint[at:]
}

// validateSchemes: the scheme and tls must not contradict each other.
func validateSchemes(c *Config, secure, plain int) error {
	tls := c.TLS.Get()
	switch {
	case plain >= 0 && tls != nil && !tls.Insecure:
		return fmt.Errorf("endpoints[%d] %q is plain text but tls is set; use https://, or remove tls", plain, c.Endpoints[plain])
	case secure >= 0 && tls != nil && tls.Insecure:
		return fmt.Errorf("endpoints[%d] %q is TLS but tls.insecure is true; use http://, or remove tls.insecure", secure, c.Endpoints[secure])
	}
	return nil
}

func validateUser(c *Config) error {
	switch {
	case c.Username != "" && c.Password == "":
		return fmt.Errorf("username %q has no password; set password, for example ${env:ETCD_PASSWORD}", c.Username)
	case c.Username == "" && c.Password != "":
		return errors.New("password is set but username is not; set username, or remove password")
	}
	return nil
}

func validateTLS(c *Config) error {
	tls := c.TLS.Get()
	if tls == nil {
		return nil
	}
	errs := []error{
		validatePair(tls),
		validateFile("tls.ca_file", tls.CAFile),
		validateFile("tls.cert_file", tls.CertFile),
		validateFile("tls.key_file", tls.KeyFile),
	}
	if tls.ReloadInterval < 0 {
		errs = append(errs, fmt.Errorf("tls.reload_interval %s is negative; want a positive duration, for example 5m", tls.ReloadInterval))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if _, err := etcdclient.LoadTLS(context.Background(), *tls); err != nil {
		return fmt.Errorf("%w; want PEM files that belong together", err)
	}
	return nil
}

func validatePair(tls *configtls.ClientConfig) error {
	cert, key := tls.CertFile != "" || tls.CertPem != "", tls.KeyFile != "" || tls.KeyPem != ""
	switch {
	case cert && !key:
		return fmt.Errorf("tls.cert_file %q is set but tls.key_file is not; a client certificate needs both", tls.CertFile)
	case key && !cert:
		return fmt.Errorf("tls.key_file %q is set but tls.cert_file is not; a client certificate needs both", tls.KeyFile)
	}
	return nil
}

func validateFile(path, file string) error {
	if file == "" {
		return nil
	}
	f, err := os.Open(file)
	if err != nil {
		return fmt.Errorf("%s %q cannot be read: %w; check the path and its permissions", path, file, errors.Unwrap(err))
	}
	return f.Close()
}

// shortest duration that is meant: a number without a unit is read as
// nanoseconds, so `10` passes as 10ns.
const shortest = 10 * time.Millisecond

func validateDurations(c *Config) error {
	var errs []error
	check := func(path string, value, least time.Duration) {
		switch {
		case value < 0 || value == 0 && least > 0:
			errs = append(errs, fmt.Errorf("%s %s is not positive; want for example 10s", path, value))
		case value > 0 && value < max(least, shortest):
			errs = append(errs, fmt.Errorf("%s %s is below %s; write a unit, for example 10s", path, value, max(least, shortest)))
		}
	}
	check("timeout", c.Timeout, shortest)
	check("collection_interval", c.CollectionInterval, 100*time.Millisecond)
	check("initial_delay", c.InitialDelay, 0)
	check("watch.batch.max_delay", c.Watch.Batch.MaxDelay, shortest)
	return errors.Join(errs...)
}

// validateRetry is called by the generated Validate.
func validateRetry(c configretry.BackOffConfig) error {
	var errs []error
	if !c.Enabled {
		return nil
	}
	if c.InitialInterval < shortest {
		errs = append(errs, fmt.Errorf("retry_on_failure.initial_interval %s is below %s; write a unit, for example 5s", c.InitialInterval, shortest))
	}
	if c.MaxInterval < c.InitialInterval {
		errs = append(errs, fmt.Errorf("retry_on_failure.max_interval %s is below initial_interval %s; want at least that", c.MaxInterval, c.InitialInterval))
	}
	if c.MaxElapsedTime < 0 {
		errs = append(errs, fmt.Errorf("retry_on_failure.max_elapsed_time %s is negative; 0 means for ever", c.MaxElapsedTime))
	}
	if c.Multiplier < 1 {
		errs = append(errs, fmt.Errorf("retry_on_failure.multiplier %g is below 1; the waits must not shrink", c.Multiplier))
	}
	if c.RandomizationFactor < 0 || c.RandomizationFactor > 1 {
		errs = append(errs, fmt.Errorf("retry_on_failure.randomization_factor %g is not within 0 and 1", c.RandomizationFactor))
	}
	return errors.Join(errs...)
}

func validateLabels(labels map[string]string) error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		switch {
		case name == "":
			errs = append(errs, fmt.Errorf("labels has an empty name for %q; give it one", labels[name]))
		case slices.Contains(resourceAttributes, name):
			errs = append(errs, fmt.Errorf("labels.%s %q would replace what the receiver says itself; choose another name", name, labels[name]))
		}
	}
	return errors.Join(errs...)
}

// validateStorage: whether the extension exists is known at the start only.
func validateStorage(storage string) error {
	if storage == "" {
		return nil
	}
	var id component.ID
	if err := id.UnmarshalText([]byte(storage)); err != nil {
		return fmt.Errorf("storage %q is not the id of an extension: %w; want for example file_storage or file_storage/etcd", storage, err)
	}
	return nil
}

func validateWatch(c *WatchConfig) error {
	errs := []error{
		oneOf("watch.start", c.Start, "resume", "latest", "revision"),
		oneOf("watch.scope", c.Scope, "cluster", "local"),
		oneOf("watch.on_compaction", c.OnCompaction, "resync", "snapshot", "skip"),
		validateStart(c),
		oneOf("watch.value.policy", c.Value.Policy, "none", "size", "hash", "text", "base64"),
		oneOf("watch.value.redact.action", c.Value.Redact.Action, "none", "size", "hash"),
		validatePrefixes(c.Prefixes),
		validateExclude(c),
		oneOf("watch.kubernetes", c.Kubernetes, "auto", "enabled", "disabled"),
		validateKubernetesPrefixes(c),
		validateRemoteAPIServers(c.KubernetesRemoteAPIServers),
	}
	if _, err := redact.Compile(c.Value.Redact.Keys); err != nil {
		errs = append(errs, fmt.Errorf("watch.value.redact.keys%w; want a regular expression in RE2 syntax", err))
	}
	for _, b := range []struct {
		path         string
		value, least int
	}{
		{"watch.batch.max_records", c.Batch.MaxRecords, 1},
		{"watch.batch.max_bytes", c.Batch.MaxBytes, 1024},
		{"watch.value.max_bytes", c.Value.MaxBytes, 0},
	} {
		if b.value < b.least {
			errs = append(errs, fmt.Errorf("%s %d is below %d; want at least that", b.path, b.value, b.least))
		}
	}
	return errors.Join(errs...)
}

// validateStart: the settings that say where a stream begins must not contradict
// each other.
func validateStart(c *WatchConfig) error {
	var errs []error
	switch {
	case c.Start == "revision" && c.StartRevision < 1:
		errs = append(errs, fmt.Errorf("watch.start_revision %d is below 1 but watch.start is revision; set the first revision to deliver, or use watch.start: resume", c.StartRevision))
	case c.Start != "revision" && c.StartRevision != 0:
		errs = append(errs, fmt.Errorf("watch.start_revision %d needs watch.start: revision; set that, or remove watch.start_revision", c.StartRevision))
	}
	if c.Start == "revision" && c.InitialSnapshot {
		errs = append(errs, errors.New("watch.initial_snapshot with watch.start: revision repeats keys; use one"))
	}
	return errors.Join(errs...)
}

func validatePrefixes(prefixes []string) error {
	var errs []error
	if len(prefixes) == 0 {
		errs = append(errs, errors.New(`watch.prefixes is empty; use [""] for every key, or watch.enabled: false`))
	}
	for i, p := range prefixes {
		for j, other := range prefixes {
			if i != j && strings.HasPrefix(p, other) && (p != other || i > j) {
				errs = append(errs, fmt.Errorf("watch.prefixes[%d] %q lies within watch.prefixes[%d] %q, its changes would come twice; remove it", i, p, j, other))
				break
			}
		}
	}
	return errors.Join(errs...)
}

func validateExclude(c *WatchConfig) error {
	var errs []error
	for i, ex := range c.Exclude {
		if ex == "" {
			errs = append(errs, fmt.Errorf(`watch.exclude[%d] "" excludes every key; remove it, or use watch.enabled: false`, i))
			continue
		}
		for j, p := range c.Prefixes {
			if strings.HasPrefix(p, ex) {
				errs = append(errs, fmt.Errorf("watch.exclude[%d] %q excludes all of watch.prefixes[%d] %q; remove one of them", i, ex, j, p))
			}
		}
	}
	return errors.Join(errs...)
}

func validateKubernetesPrefixes(c *WatchConfig) error {
	var errs []error
	prefixes := c.KubernetesPrefixes
	if len(prefixes) == 0 && c.Kubernetes != "disabled" {
		errs = append(errs, fmt.Errorf("watch.kubernetes_prefixes is empty but watch.kubernetes is %s; name the prefixes, for example /registry/, or use watch.kubernetes: disabled", c.Kubernetes))
	}
	for i, p := range prefixes {
		if !strings.HasSuffix(p, "/") {
			errs = append(errs, fmt.Errorf("watch.kubernetes_prefixes[%d] %q does not end with a slash; want for example /registry/", i, p))
			continue
		}
		for j, other := range prefixes {
			if i != j && strings.HasPrefix(p, other) && (p != other || i > j) {
				errs = append(errs, fmt.Errorf("watch.kubernetes_prefixes[%d] %q lies within watch.kubernetes_prefixes[%d] %q, its keys would be read wrong; remove one of them", i, p, j, other))
				break
			}
		}
	}
	return errors.Join(errs...)
}

func validateRemoteAPIServers(clients []string) error {
	var errs []error
	for i, client := range clients {
		if err := new(logrecord.Clients).Add(client); err != nil {
			errs = append(errs, fmt.Errorf("watch.kubernetes_remote_api_servers[%d] %q %w", i, client, err))
		}
	}
	return errors.Join(errs...)
}

func validateTiers(c *Config) error {
	if !c.Watch.Enabled && !c.Status.Enabled && c.Ebpf.Mode == "disabled" {
		return errors.New("watch.enabled and status.enabled are both false and ebpf.mode is disabled, so the receiver would do nothing; enable one, or remove the receiver")
	}
	return nil
}

// validateScope: who served a change is known from the kernel only.
func validateScope(c *Config) error {
	switch {
	case c.Watch.Scope != "local" || !c.Watch.Enabled:
		return nil
	case c.Ebpf.Mode == "disabled":
		return errors.New("watch.scope: local needs to know which member served a change, but ebpf.mode is disabled; use ebpf.mode: auto or required, or watch.scope: cluster")
	case !c.Watch.Authors:
		return errors.New("watch.scope: local needs watch.authors: true, but it is false; set it, or use watch.scope: cluster")
	default:
		return nil
	}
}

// resourceAttributes are the names that labels must not take.
var resourceAttributes = []string{
	"etcd.cluster.id", "etcd.cluster.name", "etcd.member.id", "etcd.member.name",
	"server.address", "server.port", "service.instance.id", "service.name", "service.version",
}

// newDefaultConfig adds to the generated defaults what the generator cannot say.
func newDefaultConfig() *Config {
	c := createDefaultConfig().(*Config)
	c.Events = metadata.DefaultEventsConfig()
	return c
}
