package cluster
import ("testing";"time";"fmt";"strings"
"github.com/etcdreceiver/etcdreceiver/internal/localcluster"
"github.com/etcdreceiver/etcdreceiver/test/harness")
func TestZZ(t *testing.T) {
	secure := harness.Start(t, "3.6", localcluster.Config{TLS: true})
	f := secure.TLS()
	r := connectStart(t, watchYAML(secure.Endpoints(), fmt.Sprintf("tls: {ca_file: %s, cert_file: %s, key_file: %s, server_name_override: etcd.example.com}", f.CAFile, f.CertFile, f.KeyFile)))
	time.Sleep(3*time.Second)
	for _, e := range r.Log.All() { fmt.Println("AA", e.Message, e.ContextMap()) }
	c, root := connectAuthCluster(t, "3.4", "--auth-token-ttl=1")
	connectUser(t, root, "otel", "secret", "")
	config := watchYAML(c.Endpoints(), "username: otel", "password: secret", "collection_interval: 2500ms")
	config = strings.TrimPrefix(config, "collection_interval: 200ms\n")
	r = watchRun(t, config, 1, nil)
	watchUntil(t, "x", func() bool { return len(r.Metrics()) >= 4 })
	for _, e := range r.Log.All() { fmt.Println("AA", e.Message, e.ContextMap()) }
	fmt.Println("AA errs", watchCounter(t, r, "receiver_etcd_scrape_errors", "", ""))
	b := time.Now()
	fresh := watchClient(t, c)
	_, err := fresh.Put(watchContext(t), "/a", "")
	fmt.Println("AA fresh", err, time.Since(b))
	time.Sleep(2500*time.Millisecond)
	b = time.Now()
	_, err = fresh.Put(watchContext(t), "/a", "")
	fmt.Println("AA stale", err, time.Since(b))
	_, err = fresh.Get(watchContext(t), "/a")
	fmt.Println("AA stale get", err, time.Since(b))
}
