// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package trace

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.uber.org/zap"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/etcdreceiver/etcdreceiver/bpf"
	"github.com/etcdreceiver/etcdreceiver/internal/etcdclient"
)

// Nothing of a process is believed before requests of our own, for a key that
// nobody has, were read from it exactly as we sent them and as etcd answered. If
// etcd's shapes have changed, nothing wrong leaves.

// selfCheckKey begins the keys of self-checks, of any collector. The zero byte: no
// user has such keys, and the range of no user's prefix holds them.
const selfCheckKey = "\x00etcdreceiver self-check "

// selfChecks is how many requests are sent to each endpoint.
const selfChecks = 5

// check is a self-check that is under way.
type check struct {
	key  []byte
	seen []request // of the process, with this key
}

// checked is what the client's side of a self-check saw.
type checked struct {
	pid     int
	check   *check
	answers []answer
	members []member // of the cluster, as the first one that answered listed them
	err     error    // the last one, of the endpoints that did not answer
}

// answer is what etcd said to one request.
type answer struct {
	sent, got                 int64 // ns of CLOCK_MONOTONIC
	cluster, member, revision uint64
	code                      codes.Code
	seed                      bool // of a configured endpoint
}

// check begins a self-check of a process that has probes and has not had one.
func (t *tracer) check(ctx context.Context, p *process) {
	if p.verified || p.attachment == nil || t.checking[p.PID] != nil {
		return
	}
	c := &check{key: []byte(selfCheckKey + rand.Text())}
	t.checking[p.PID] = c
	urls := p.ClientURLs
	go func() {
		answers, members, err := t.ask(ctx, urls, c.key)
		select {
		case t.checks <- &checked{pid: p.PID, check: c, answers: answers, members: members, err: err}:
		case <-ctx.Done():
		}
	}()
}

// ask sends requests to the process's own client URLs and, where these do not
// answer, as a certificate may not be good for them, to the configured endpoints.
func (t *tracer) ask(ctx context.Context, urls []string, key []byte) (answers []answer, members []member, err error) {
	target, err := t.Cluster.Resolve(ctx)
	if err != nil {
		return nil, nil, err
	}
	var conns []*etcdclient.Conn
	for _, u := range urls {
		if e, err := etcdclient.ParseEndpoint(u); err == nil && e.Secure() == (target.TLS != nil) {
			conn, end := t.Cluster.Claimed(e)
			defer end()
			conns = append(conns, conn)
		}
	}
	own := len(conns)
	for i, conn := range append(conns, t.Cluster.Seeds()...) {
		of, e := askOne(ctx, conn, key, i >= own)
		if e != nil {
			err = e
		} else if list, e := conn.Members(ctx); e == nil { // which needs no right
			for k := range of {
				of[k].cluster, of[k].member = list.Header.ClusterId, list.Header.MemberId
			}
			if members == nil {
				members = resolve(ctx, list.Members)
			}
			if i >= own {
				t.Cluster.Learn(list.Members)
			}
		}
		answers = append(answers, of...)
	}
	return answers, members, err
}

// askOne asks one endpoint, on a connection of its own: one that is kept may still
// be of the process before, and waits a second and more before it connects again.
func askOne(ctx context.Context, conn *etcdclient.Conn, key []byte, seed bool) (answers []answer, err error) {
	dialed, end, err := conn.Dial(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	for range selfChecks {
		a := answer{seed: seed, sent: monotonic()}
		r, err := pb.NewKVClient(dialed).Range(ctx, &pb.RangeRequest{Key: key, Serializable: true})
		a.got, a.code = monotonic(), status.Code(err)
		if err != nil && !answered(a.code) {
			return answers, err
		}
		if err == nil {
			a.cluster, a.member, a.revision = r.Header.ClusterId, r.Header.MemberId, uint64(r.Header.Revision)
		}
		answers = append(answers, a)
	}
	return answers, nil
}

// answered tells whether it was etcd itself that refused.
func answered(code codes.Code) bool {
	return code == codes.PermissionDenied || code == codes.InvalidArgument || code == codes.Unauthenticated
}

// judge compares both sides.
func (t *tracer) judge(ctx context.Context, c *checked) {
	p := t.processes[c.pid]
	if p == nil || t.checking[c.pid] != c.check || ctx.Err() != nil {
		return // it is gone, or the end of the receiver has cut the requests off
	}
	t.drain(time.Now())
	t.assembler.sweep(time.Now().Add(2 * patience))
	delete(t.checking, c.pid)
	nano, err := t.verify(p, c)
	if t.again(p, err) {
		return
	}
	if err != nil {
		t.detach(p)
		t.refuse(p, err)
		return
	}
	// All probes are in before anything counts: else the first requests had no user, and
	// of the first writes the log was not seen.
	if t.Cluster.Username() != "" || slices.ContainsFunc(c.answers, func(a answer) bool { return a.code != codes.OK }) {
		t.followUsers(p)
	}
	t.followWrites(p)
	t.drain(time.Now())
	p.is.StartNano, p.is.Checked = nano, 1
	if err := t.programs.PutProcess(p.PID, p.is); err != nil {
		p.is.Checked = 0
		t.detach(p)
		t.refuse(p, fmt.Errorf("tell the programs about it: %w", err))
		return
	}
	p.verified, p.since = true, time.Now()
	t.followFiles(p)
	t.followConnections(p, c.members)
	t.tieWrites(p, c.answers)
	build := p.executable.build // told when all is in place: who waits for it is told users and authors too
	t.Logger.Info("requests of etcd are traced", zap.Int("pid", p.PID), zap.String("name", p.Name), zap.String("etcd", build.EtcdVersion),
		zap.String("go", build.GoVersion), zap.Strings("cannot_be_told", p.executable.lacks))
	p.delay, p.reason = 0, ""
	t.Report(p.PID, nil)
}

var errNotSeen = errors.New("requests to its own client URL were answered, but not seen in it: this build of etcd is unknown")

// errMisread has more to say each time: revisions and times.
var errMisread = errors.New("requests of our own were read from it in another way than they were: this build of etcd is unknown")

var errNotReached = errors.New("no endpoint leads to it: add one of its client URLs to endpoints, with what it needs of tls and username")

// errApart: what a process listens at may lead to another one from here, or nowhere.
var errApart = errors.New("it has another network than the collector, and so do its own client URLs: endpoints need one that leads to it from here, " +
	"or the collector its network, in Kubernetes with hostNetwork: true")

// notReached is errNotReached, and what is the matter.
func (t *tracer) notReached(p *process, reason error) error {
	if t.apart(p) {
		return fmt.Errorf("%w; %w: %w", errNotReached, errApart, reason)
	}
	return fmt.Errorf("%w: %w", errNotReached, reason)
}

// apart tells whether a process has another network than the collector.
func (t *tracer) apart(p *process) bool {
	own, err := os.Readlink(filepath.Join(t.proc(), "self", "ns", "net"))
	if err != nil {
		return false
	}
	its, err := os.Readlink(filepath.Join(t.proc(), strconv.Itoa(p.PID), "ns", "net"))
	return err == nil && its != own
}

// errForeign: one receiver tells about one cluster.
var errForeign = errors.New("it is a member of another cluster than that of the endpoints")

// ours tells whether a process is of the cluster of the configured endpoints.
func (t *tracer) ours(p *process, answers []answer) error {
	known := false
	for _, a := range answers {
		if a.seed && a.cluster != 0 {
			known = true
			if a.cluster == p.cluster {
				return nil
			}
		}
	}
	switch {
	case known && p.cluster != 0:
		return errForeign
	case p.cluster == 0:
		return t.notReached(p, errors.New("etcd does not tell us of which cluster it is"))
	default:
		return t.notReached(p, errors.New("no endpoint tells of which cluster it is"))
	}
}

// verify tells where the process's clock begins if all was read as it was.
func (t *tracer) verify(p *process, c *checked) (int64, error) {
	seen := c.check.seen
	if len(seen) == 0 {
		switch own := slices.ContainsFunc(c.answers, func(a answer) bool { return !a.seed }); {
		case own && !t.apart(p):
			return 0, errNotSeen
		case c.err == nil:
			return 0, t.notReached(p, errors.New("what answers at the endpoints is another etcd"))
		default:
			return 0, t.notReached(p, c.err)
		}
	}
	ahead := wallAhead()
	var nanos []int64
	for i := range seen {
		q := &seen[i]
		nano, err := t.compare(p, q, c, ahead)
		if err != nil {
			return 0, fmt.Errorf("%w: %w", errMisread, err)
		}
		nanos = append(nanos, nano)
	}
	if err := t.ours(p, c.answers); err != nil {
		return 0, err
	}
	slices.Sort(nanos)
	return nanos[len(nanos)/2], nil
}

// compare holds a record against the answers.
func (t *tracer) compare(p *process, q *request, c *checked, ahead int64) (int64, error) {
	o := byCode(q.Operation)
	switch {
	case o == nil || o.name != "range":
		return 0, fmt.Errorf("a range was read as operation %d", q.Operation)
	case !bytes.Equal(q.Key, c.check.key) || len(q.End) > 0:
		return 0, fmt.Errorf("its key was read as %q to %q", q.Key, q.End)
	}
	i := slices.IndexFunc(c.answers, func(a answer) bool { return a.sent <= int64(q.Time) && int64(q.Time) <= a.got })
	if i < 0 {
		return 0, errors.New("its time lies in none of our requests")
	}
	a := c.answers[i]
	if a.code != codes.OK {
		if !q.failed || q.known && codes.Code(q.code) != a.code {
			return 0, fmt.Errorf("a request that etcd refused with %s was read as %s", a.code, codes.Code(q.code))
		}
		p.cluster, p.member = a.cluster, a.member
	} else {
		if q.Cluster != a.cluster || q.Member != a.member || uint64(q.Revision) != a.revision || q.Count != 0 {
			return 0, fmt.Errorf("the answer of member %x of %x at revision %d was read as of %x of %x at %d with %d keys",
				a.member, a.cluster, a.revision, q.Member, q.Cluster, q.Revision, q.Count)
		}
		p.cluster, p.member = a.cluster, a.member
	}
	if q.ByKtime {
		return 0, inside(int64(q.Ext), a)
	}
	nano, ok := startNano(q.Wall, q.Ext, ahead)
	if !ok {
		return 0, errors.New("its start has no monotonic time")
	}
	return nano, inside(nano+int64(q.Ext), a)
}

// inside: a request begins after it was sent and before it was answered; the two
// clocks are compared to within some microseconds.
func inside(start int64, a answer) error {
	const tolerance = int64(time.Millisecond)
	if start < a.sent-tolerance || start > a.got+tolerance {
		return fmt.Errorf("its start was read as %s before it was sent", time.Duration(a.sent-start))
	}
	return nil
}

// followUsers has etcd's requests tell their users: one more trap for each, so
// only while auth is on.
func (t *tracer) followUsers(p *process) {
	if p.users != nil || p.executable.user == nil {
		return
	}
	a, err := t.programs.Attach(executablePath(t.proc(), p.PID), p.PID, []bpf.Probe{*p.executable.user})
	if err == nil {
		p.users, p.is.Users = a, 1
		err = t.programs.PutProcess(p.PID, p.is)
	}
	if err != nil {
		t.Logger.Warn("the users of requests cannot be told", zap.Int("pid", p.PID), zap.Error(err))
	}
}

func (t *tracer) ignoreUsers(p *process) {
	if p.users == nil {
		return
	}
	err := p.users.Close()
	p.users, p.is.Users = nil, 0
	if err = errors.Join(err, t.programs.PutProcess(p.PID, p.is)); err != nil {
		t.Logger.Warn("taking a probe out of etcd", zap.Int("pid", p.PID), zap.Error(err))
	}
}
