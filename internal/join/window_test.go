// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package join

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/etcdreceiver/etcdreceiver/internal/logrecord"
	"github.com/etcdreceiver/etcdreceiver/internal/metadata"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	etcd  = 7 // the pid of an etcd whose store was at revision 10 when its tracing began
	began = 10
)

const asked = 8 // a lease that a client asks to revoke

func traced() *Window {
	w := NewWindow()
	w.Tracing(etcd, began)
	return w
}

func request(user, operation string, more func(*Write)) *Write {
	w := &Write{PID: etcd, Revision: 42, By: logrecord.Author{Source: metadata.AttributeEtcdAuthorSourceRequest, Operation: operation, User: user, Duration: time.Millisecond}}
	more(w)
	return w
}

func put(user string, keys ...string) *Write {
	return request(user, "put", func(w *Write) {
		w.Certain = true
		for _, k := range keys {
			w.Puts = append(w.Puts, Keys{Key: []byte(k)})
		}
	})
}

func deletes(user, key, end string) *Write {
	return request(user, "delete_range", func(w *Write) {
		w.Certain, w.Deletes = true, []Keys{{Key: []byte(key), End: []byte(end)}}
	})
}

// perhaps is a transaction whose deletes may have found nothing.
func perhaps(user, key string) *Write {
	return request(user, "txn", func(w *Write) { w.Deletes = []Keys{{Key: []byte(key)}} })
}

func revoke(user string, lease int64) *Write {
	return request(user, "lease_revoke", func(w *Write) { w.Lease = lease })
}

func entry(operation string, more func(*Applied)) *Applied {
	a := &Applied{PID: etcd, Revision: 42, Here: true, Operation: operation}
	if more != nil {
		more(a)
	}
	return a
}

func TestAChangeGetsTheAuthorOfTheRequestThatMadeItAndNoOther(t *testing.T) {
	aPut, aDelete := Change{Revision: 42, Key: []byte("/a")}, Change{Revision: 42, Key: []byte("/a"), Delete: true}
	leased := Change{Revision: 42, Key: []byte("/a"), Delete: true, Lease: 5}
	for name, c := range map[string]struct {
		change  Change
		writes  []*Write
		applied *Applied
		user    string
		outcome Outcome
	}{
		"put":                                 {aPut, []*Write{put("alice", "/a")}, nil, "alice", Joined},
		"put of another key":                  {aPut, []*Write{put("alice", "/b")}, nil, "", Missed},
		"one of several keys":                 {aPut, []*Write{put("alice", "/b", "/a")}, nil, "alice", Joined},
		"delete is not a put":                 {aDelete, []*Write{put("alice", "/a")}, nil, "", Missed},
		"delete":                              {aDelete, []*Write{deletes("bob", "/a", "")}, nil, "bob", Joined},
		"range":                               {aDelete, []*Write{deletes("bob", "/", "0")}, nil, "bob", Joined},
		"range that ends before":              {aDelete, []*Write{deletes("bob", "/", "/a")}, nil, "", Missed},
		"range without an end":                {aDelete, []*Write{deletes("bob", "/", "\x00")}, nil, "bob", Joined},
		"range without an end, after":         {aDelete, []*Write{deletes("bob", "/b", "\x00")}, nil, "", Missed},
		"cut key":                             {aPut, []*Write{request("alice", "put", func(w *Write) { w.Puts = []Keys{{Key: []byte("/"), Cut: true}} })}, nil, "alice", Joined},
		"cut key of another":                  {aPut, []*Write{request("alice", "put", func(w *Write) { w.Puts = []Keys{{Key: []byte("/b"), Cut: true}} })}, nil, "", Missed},
		"below a name":                        {aPut, []*Write{request("alice", "lock", func(w *Write) { w.Puts = []Keys{{Key: []byte("/"), Below: true}} })}, entry("txn", nil), "alice", Joined},
		"incomplete":                          {aPut, []*Write{request("alice", "txn", func(w *Write) { w.Incomplete, w.Certain = true, true })}, nil, "alice", Joined},
		"incomplete, and perhaps not":         {aPut, []*Write{request("alice", "txn", func(w *Write) { w.Incomplete = true })}, nil, "", Missed},
		"certain before perhaps":              {aDelete, []*Write{perhaps("eve", "/a"), deletes("bob", "/a", "")}, nil, "bob", Joined},
		"two perhaps are none":                {aDelete, []*Write{perhaps("eve", "/a"), perhaps("mallory", "/a")}, nil, "", Missed},
		"one perhaps":                         {aDelete, []*Write{perhaps("eve", "/a")}, nil, "eve", Joined},
		"certain comes after many perhaps":    {aDelete, []*Write{perhaps("1", "/a"), perhaps("2", "/a"), perhaps("3", "/a"), perhaps("4", "/a"), deletes("bob", "/a", "")}, nil, "bob", Joined},
		"revoked lease":                       {leased, []*Write{revoke("alice", 5)}, nil, "alice", Joined},
		"revoked lease, the key's not known":  {aDelete, []*Write{revoke("alice", 5)}, nil, "alice", Joined},
		"another lease was revoked":           {leased, []*Write{revoke("alice", 6)}, nil, "", Missed},
		"no request":                          {aPut, nil, nil, "", Missed},
		"log agrees":                          {aPut, []*Write{put("alice", "/a")}, entry("put", func(a *Applied) { a.User = "alice" }), "alice", Joined},
		"log has another user":                {aPut, []*Write{put("eve", "/a")}, entry("put", func(a *Applied) { a.User = "alice" }), "alice", Missed},
		"log has another operation":           {aPut, []*Write{put("eve", "/a")}, entry("txn", func(a *Applied) { a.User = "alice" }), "alice", Missed},
		"log says who of two":                 {aDelete, []*Write{perhaps("eve", "/a"), perhaps("bob", "/a")}, entry("txn", func(a *Applied) { a.User = "bob" }), "bob", Joined},
		"log says elsewhere":                  {aPut, []*Write{put("eve", "/a")}, entry("put", func(a *Applied) { a.Here, a.User = false, "alice" }), "alice", Elsewhere},
		"log has another lease":               {aDelete, []*Write{revoke("eve", 6)}, entry("lease_revoke", func(a *Applied) { a.Lease = 5 }), "owner", Joined},
		"a client asked for the lease's end":  {leased, nil, entry("lease_revoke", func(a *Applied) { a.Lease = asked }), "", Missed},
		"lease of an owner expired":           {leased, nil, entry("lease_revoke", func(a *Applied) { a.Lease = 5 }), "owner", Joined},
		"lease expired that nobody saw begin": {leased, nil, entry("lease_revoke", func(a *Applied) { a.Lease = 9 }), "", Joined},
		"lease expired and another revoked":   {leased, []*Write{revoke("eve", 5)}, entry("lease_revoke", func(a *Applied) { a.Lease = 5 }), "eve", Joined},
		"before tracing began":                {Change{Revision: began, Key: []byte("/a")}, nil, nil, "", Untraced},
		"after what was seen":                 {Change{Revision: 43, Key: []byte("/a")}, []*Write{put("alice", "/a")}, nil, "", Missed},
	} {
		t.Run(name, func(t *testing.T) {
			w := traced()
			w.Revoking(asked)
			w.Granted(5, &logrecord.Author{User: "owner"}, time.Unix(1700000000, 0))
			for _, write := range c.writes {
				w.Served(write)
			}
			if c.applied != nil {
				w.Applied(c.applied)
			}
			author, outcome := w.Author(&c.change)
			assert.Equal(t, Outcomes[c.outcome], Outcomes[outcome])
			user := ""
			if author != nil {
				user = author.User
			}
			assert.Equal(t, c.user, user)
		})
	}
}

func TestTheEndOfALeaseNamesItsOwnerAndWhenItWasGranted(t *testing.T) {
	w := traced()
	client := netip.MustParseAddrPort("10.0.0.17:5000")
	w.Granted(5, &logrecord.Author{Source: metadata.AttributeEtcdAuthorSourceRequest, User: "owner", Client: client, Operation: "lease_grant", Duration: time.Second}, time.Unix(1700000000, 0))
	w.Applied(entry("lease_revoke", func(a *Applied) { a.User, a.Lease = "root", 5 }))
	author, _ := w.Author(&Change{Revision: 42, Key: []byte("/a"), Delete: true})
	require.Equal(t, &logrecord.Author{
		Source: metadata.AttributeEtcdAuthorSourceLease, Operation: "lease_expire", User: "owner", Client: client, Duration: -1, LeaseID: 5, Granted: time.Unix(1700000000, 0),
	}, author)
}

func TestTheWindowIsBoundedAndWhatLeftItIsLate(t *testing.T) {
	w := traced()
	for r := int64(100); r < 100+3*size; r++ {
		write := put("alice", "/a")
		write.Revision = r
		w.Served(write)
	}
	old := put("eve", "/a")
	old.Revision = 100
	w.Served(old) // too late
	_, outcome := w.Author(&Change{Revision: 100, Key: []byte("/a")})
	assert.Equal(t, Late, outcome)
	_, outcome = w.Author(&Change{Revision: 100 + 2*size, Key: []byte("/a")})
	assert.Equal(t, Joined, outcome)
	assert.Len(t, w.slots, size)
}

func TestTheKeysOfManyLargeWritesAreBounded(t *testing.T) {
	w := traced()
	large := func(r int64, certain bool) *Write {
		return request("alice", "txn", func(write *Write) {
			write.Revision, write.Certain = r, certain
			for range 128 {
				write.Deletes = append(write.Deletes, Keys{Key: make([]byte, 256)})
			}
		})
	}
	const writes = 2000
	for r := int64(100); r < 100+writes; r++ {
		w.Served(large(r, r%2 == 0))
		assert.LessOrEqual(t, w.bytes, maxBytes)
	}
	_, outcome := w.Author(&Change{Revision: 100 + writes - 2, Key: []byte("/a"), Delete: true})
	assert.Equal(t, Joined, outcome, "its revision is its own")
	_, outcome = w.Author(&Change{Revision: 100 + writes - 1, Key: make([]byte, 256), Delete: true})
	assert.Equal(t, Missed, outcome, "it cannot be proven any more")
	for r := int64(100) + size; r < 100+size+writes; r++ {
		w.Served(put("alice", "/a"))
		write := put("alice", "/a")
		write.Revision = r
		w.Served(write)
	}
	assert.Less(t, w.bytes, writes*100, "they have made room")
}

func TestAProcessThatEndedIsStillKnownUntilTheNextOne(t *testing.T) {
	w := traced()
	w.Served(put("alice", "/a"))
	w.Ended(etcd)
	_, outcome := w.Author(&Change{Revision: 42, Key: []byte("/a")})
	assert.Equal(t, Joined, outcome)
	_, outcome = w.Author(&Change{Revision: 43, Key: []byte("/a")})
	assert.Equal(t, Untraced, outcome, "nobody looks any more")

	w.Tracing(etcd+1, 20) // restored to before what the other one wrote
	author, outcome := w.Author(&Change{Revision: 42, Key: []byte("/a")})
	assert.Nil(t, author, "it is another revision 42")
	assert.Zero(t, w.bytes)
	assert.Equal(t, Missed, outcome)
}

func TestAPIDThatIsUsedAgainInheritsNothing(t *testing.T) {
	w := traced()
	w.Served(put("old", "/a"))
	w.Ended(etcd)
	w.Tracing(etcd, 20) // restored to before what the other one wrote
	change := &Change{Revision: 42, Key: []byte("/a")}
	author, _ := w.Author(change)
	assert.Nil(t, author, "it is another revision 42")
	w.Served(put("new", "/a"))
	w.Applied(entry("put", nil))
	author, outcome := w.Author(change)
	require.Equal(t, Joined, outcome)
	assert.Equal(t, "new", author.User)
}

func TestAChangeThatWasTracedAndComesTooLateIsLateAlsoAfterRestarts(t *testing.T) {
	w := NewWindow()
	seen := func(pid int, revisions ...int64) {
		for _, r := range revisions {
			w.Applied(&Applied{PID: pid, Revision: r, Here: true, Operation: "put"})
			write := put("alice", "/a")
			write.PID, write.Revision = pid, r
			w.Served(write)
		}
	}
	is := func(want map[int64]Outcome) {
		t.Helper()
		for r, outcome := range want {
			_, got := w.Author(&Change{Revision: r, Key: []byte("/a")})
			assert.Equal(t, Outcomes[outcome], Outcomes[got], "revision %d", r)
			w.Wait(t.Context(), r, time.Now().Add(time.Hour)) // nothing of a process that has ended is waited for
		}
	}
	const last = began + 5 + size
	w.Tracing(1, began)
	seen(1, began+1, began+5, last)
	w.Ended(1)
	is(map[int64]Outcome{began: Untraced, began + 1: Late, began + 5: Late, last - 1: Missed, last: Joined, last + 1: Untraced})

	w.Tracing(2, last+10) // the etcd that is restarted; others have written meanwhile
	seen(2, last+11)
	is(map[int64]Outcome{began: Untraced, began + 1: Late, began + 5: Late, last - 1: Late, last: Late, last + 1: Untraced, last + 10: Untraced, last + 11: Joined})

	w.Ended(2)
	w.Tracing(3, last+11)
	w.Ended(3) // it has served nothing
	w.Tracing(4, last+11)
	is(map[int64]Outcome{began: Untraced, began + 5: Late, last: Late, last + 1: Untraced, last + 10: Untraced, last + 11: Late})

	for pid := range 10 * replaced { // it crashes again and again
		r := int64(last + 12 + pid)
		seen(4+pid, r)
		w.Ended(4 + pid)
		w.Tracing(5+pid, r)
	}
	is(map[int64]Outcome{last + 11 + 10*replaced: Late, last + 12 + 9*replaced: Late})
	assert.Len(t, w.gone, replaced)
}

func TestAChangeWhoseMemberIsReplacedIsLateAlsoWhereAnotherMemberIsTracedToo(t *testing.T) {
	w := traced()
	const other = etcd + 1
	w.Tracing(other, began)
	w.Applied(entry("put", nil))
	w.Applied(entry("put", func(a *Applied) { a.PID = other }))
	w.Served(put("alice", "/a"))
	w.Ended(etcd)
	_, outcome := w.Author(&Change{Revision: 42, Key: []byte("/a")})
	require.Equal(t, Joined, outcome)
	w.Tracing(etcd+2, 50)
	_, outcome = w.Author(&Change{Revision: 42, Key: []byte("/a")})
	assert.Equal(t, Late, outcome, "the log has it, but the request is forgotten")
	_, outcome = w.Author(&Change{Revision: 43, Key: []byte("/a")})
	assert.Equal(t, Missed, outcome, "the other one has served nothing of it")
}

func TestWhereTheStoreIsNotKnownItCountsFromTheFirstThatIsSeen(t *testing.T) {
	w := NewWindow()
	w.Tracing(etcd, 0)
	_, outcome := w.Author(&Change{Revision: 41, Key: []byte("/a")})
	assert.Equal(t, Untraced, outcome)
	w.Served(put("alice", "/a"))
	_, outcome = w.Author(&Change{Revision: 41, Key: []byte("/a")})
	assert.Equal(t, Untraced, outcome)
	_, outcome = w.Author(&Change{Revision: 43, Key: []byte("/a")})
	assert.Equal(t, Missed, outcome)
}

func TestItCountsFromTheFirstWriteThatTheProcessAppliesWhateverItsStoreWasAt(t *testing.T) {
	for name, store := range map[string]int64{"others wrote meanwhile": began, "others were ahead": 60, "not known": 0} {
		t.Run(name, func(t *testing.T) {
			w := NewWindow()
			w.Tracing(etcd, store)
			early := put("", "/a") // applied before, answered after: its log was not seen, nor its user
			early.Revision = 41
			w.Served(early)
			w.Applied(entry("put", nil))
			w.Served(put("alice", "/a"))
			w.Wait(t.Context(), 41, time.Now().Add(time.Hour))
			for r, want := range map[int64]Outcome{41: Untraced, 42: Joined, 43: Missed} {
				_, outcome := w.Author(&Change{Revision: r, Key: []byte("/a")})
				assert.Equal(t, Outcomes[want], Outcomes[outcome], "revision %d", r)
			}
		})
	}
}

func TestTheLogTellsTheUserOfARequestThatWasUnderWayWhenItsTracingBegan(t *testing.T) {
	w := traced()
	write := put("", "/a")
	write.By.Client = netip.MustParseAddrPort("10.0.0.17:5000")
	w.Served(write)
	w.Applied(entry("put", func(a *Applied) { a.User = "alice" }))
	author, outcome := w.Author(&Change{Revision: 42, Key: []byte("/a")})
	assert.Equal(t, Joined, outcome)
	assert.Equal(t, "alice", author.User)
	assert.Equal(t, write.By.Client, author.Client)
	assert.Equal(t, metadata.AttributeEtcdAuthorSourceRequest, author.Source)
	assert.Empty(t, write.By.User, "changes share their author")
}

func TestWaitEndsWhenNothingMoreCanCome(t *testing.T) {
	forever := func() time.Time { return time.Now().Add(time.Hour) }
	t.Run("nothing is traced", func(t *testing.T) { NewWindow().Wait(t.Context(), 42, forever()) })
	t.Run("before tracing began", func(t *testing.T) { traced().Wait(t.Context(), began, forever()) })
	t.Run("served elsewhere", func(t *testing.T) {
		w := traced()
		w.Applied(entry("put", func(a *Applied) { a.Here = false }))
		w.Wait(t.Context(), 42, forever())
	})
	t.Run("the request is there", func(t *testing.T) {
		w := traced()
		w.Applied(entry("put", nil))
		w.Served(put("alice", "/a"))
		w.Wait(t.Context(), 42, forever())
	})
	t.Run("the context ends", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		traced().Wait(ctx, 42, forever())
	})
	t.Run("the time is over", func(t *testing.T) { traced().Wait(t.Context(), 42, time.Now().Add(time.Millisecond)) })
	t.Run("it is not there yet", func(t *testing.T) {
		w := traced()
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			w.Wait(t.Context(), 42, forever())
		}()
		for range 3 {
			time.Sleep(time.Millisecond)
			w.Drained()
		}
		select {
		case <-ended:
			t.Fatal("nothing is known of revision 42")
		default:
		}
		w.Applied(entry("put", nil))
		w.Served(put("alice", "/a"))
		w.Drained()
		<-ended
	})
}

func TestTheWindowMayBeUsedByAllRoadsAtOnce(t *testing.T) {
	w := traced()
	var group sync.WaitGroup
	const revisions = 5000
	group.Go(func() {
		for r := int64(began + 1); r <= revisions; r++ {
			write := put("alice", fmt.Sprint(r))
			write.Revision = r
			w.Applied(&Applied{PID: etcd, Revision: r, Here: true, Operation: "put"})
			w.Served(write)
			w.Drained()
		}
	})
	for range 2 {
		group.Go(func() {
			for r := int64(began + 1); r <= revisions; r++ {
				w.Wait(t.Context(), r, time.Now().Add(time.Minute))
				if _, outcome := w.Author(&Change{Revision: r, Key: []byte(fmt.Sprint(r))}); outcome != Joined {
					t.Errorf("revision %d: %s", r, Outcomes[outcome])
					return
				}
			}
		})
	}
	group.Wait()
}
