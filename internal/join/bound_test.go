// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package join

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/etcdreceiver/etcdreceiver/internal/logrecord"
)

// overload is ten times as many requests as the window is made for.
const overload = 10 * size

// load is what is traced of one revision. Keys and names are as long as the kernel
// tells them, and made anew, as each request has its own.
type load func(w *Window, revision int64)

func applied(w *Window, revision int64) {
	w.Applied(&Applied{PID: etcd, Revision: revision, Here: true, User: longest(64, revision), Operation: "put"})
}

// longest is a text of its own of so many bytes.
func longest(bytes int, revision int64) string {
	text := make([]byte, bytes)
	binary.BigEndian.PutUint64(text, uint64(revision))
	return string(text)
}

func of(revision int64, write *Write) *Write {
	write.Revision, write.By.User, write.By.Subject = revision, longest(64, revision), longest(64, revision)
	return write
}

func longPuts(w *Window, revision int64) {
	applied(w, revision)
	w.Served(of(revision, put("", longest(512, revision))))
}

// crowded revisions are claimed by as many requests as may: one made it, the others
// have found nothing to delete.
func crowded(w *Window, revision int64) {
	applied(w, revision)
	for range claims {
		w.Served(of(revision, perhaps("", longest(256, revision))))
	}
	w.Served(of(revision, put("", longest(256, revision))))
}

// heap is what lives.
func heap() int64 {
	runtime.GC()
	runtime.GC() // what the first one only marked for finalizers
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// weigh is what all slots take.
func (w *Window) weigh() (bytes int) {
	for i := range w.slots {
		bytes += w.slots[i].bytes()
	}
	return bytes
}

// mostHeap is what a full window may take: what is accounted for, and of each revision
// a slot, a request, and an entry of the log with its user.
const mostHeap = 80 << 20

func TestTenTimesTheLoadStaysWithinTheBoundAndEachChangeIsCounted(t *testing.T) {
	for name, of := range map[string]struct {
		each      load
		revisions int
	}{"long keys": {longPuts, overload}, "crowded": {crowded, overload / (claims + 1)}} {
		t.Run(name, func(t *testing.T) {
			w, last := traced(), int64(began+of.revisions)
			before, most := heap(), 0
			for r := int64(began + 1); r <= last; r++ {
				of.each(w, r) // nobody asks: the watch is far behind
				if w.bytes > most {
					most = w.bytes
				}
				if r%size == 0 {
					require.Equal(t, w.weigh(), w.bytes, "the account is true")
					require.Less(t, heap()-before, int64(mostHeap))
				}
			}
			t.Logf("at most %.1f MiB accounted for; the heap has grown by %.1f MiB", float64(most)/(1<<20), float64(heap()-before)/(1<<20))
			assert.LessOrEqual(t, most, maxBytes)
			assert.Greater(t, most, maxBytes*9/10, "else this shows nothing")

			var counted [len(Outcomes)]int
			another := []byte("/another")
			for r := int64(began + 1); r <= last; r++ { // now it comes
				_, outcome := w.Author(&Change{Revision: r, Key: another})
				counted[outcome]++
			}
			assert.Equal(t, of.revisions-size, counted[Late], "what has left the window")
			assert.Equal(t, size, counted[Missed]+counted[Joined])
			assert.Positive(t, counted[Missed], "the key is known, and it is another")
			assert.Positive(t, counted[Joined], "the key had no room, but the revision is the request's own")
			runtime.KeepAlive(w)
		})
	}
}

func TestLeasesAreBounded(t *testing.T) {
	w := traced()
	before := heap()
	for lease := int64(1); lease <= 10*leases; lease++ {
		user := longest(64, lease)
		w.Granted(lease, &logrecord.Author{User: user, Subject: user}, time.Unix(1700000000, 0))
		w.Revoking(lease)
	}
	grown := heap() - before
	t.Logf("the heap has grown by %.1f MiB", float64(grown)/(1<<20))
	assert.Equal(t, leases, w.owners.Len())
	assert.Equal(t, leases, w.asked.Len())
	assert.Less(t, grown, int64(64<<20))
	runtime.KeepAlive(w)
}

// BenchmarkWindow is what a change costs: two records of the kernel taken in, and a
// change signed, a batch of 1,000 after the other.
func BenchmarkWindow(b *testing.B) {
	w := traced()
	const batch = 1000
	keys := make([][]byte, batch)
	for i := range keys {
		keys[i] = fmt.Appendf(nil, "/registry/pods/ns-000/p-%08d", i)
	}
	b.ReportAllocs()
	for first := int64(began + 1); first <= began+int64(b.N); first += batch {
		last := min(first+batch-1, began+int64(b.N))
		for r := first; r <= last; r++ {
			w.Applied(&Applied{PID: etcd, Revision: r, Here: true, Operation: "put"})
			w.Served(&Write{PID: etcd, Revision: r, Certain: true, By: logrecord.Author{Operation: "put"}, Puts: []Keys{{Key: keys[r-first]}}})
		}
		w.Drained()
		until := time.Now().Add(time.Minute)
		for r := first; r <= last; r++ {
			w.Wait(b.Context(), r, until)
			if _, outcome := w.Author(&Change{Revision: r, Key: keys[r-first]}); outcome != Joined {
				b.Fatal(Outcomes[outcome])
			}
		}
	}
}
