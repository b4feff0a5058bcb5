// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package child

import (
	"bytes"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// shell starts a shell script as a child.
func shell(t *testing.T, script string, log *bytes.Buffer) *Process {
	t.Helper()
	cfg := Config{Path: "/bin/sh", Args: []string{"-c", script}}
	if log != nil {
		cfg.LogTo = log
	}
	p, err := Start(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Kill()) })
	return p
}

func TestOutputIsPassedOnInLines(t *testing.T) {
	defer goleak.VerifyNone(t)
	var log bytes.Buffer
	p := shell(t, "printf 'one\\ntw'; printf 'o\\nend' >&2", &log)
	<-p.Done()
	require.NoError(t, p.Err())
	assert.Equal(t, "one\ntwo\nend\n", log.String())
	assert.Equal(t, log.String(), p.Tail())
}

func TestTailIsBounded(t *testing.T) {
	var kept tail
	for range 2 * tailLines {
		_, _ = kept.Write([]byte("x\n"))
	}
	assert.Len(t, kept.String(), 2*tailLines)
}

func TestOverlongLineIsPassedOnInPieces(t *testing.T) {
	var log bytes.Buffer
	w := &lineWriter{sinks: []io.Writer{&log}}
	_, _ = w.Write(bytes.Repeat([]byte("x"), maxLine+10))
	assert.Equal(t, maxLine, log.Len())
	w.flush()
	assert.Equal(t, maxLine+11, log.Len())
}

func TestErrTellsTheExitCode(t *testing.T) {
	p := shell(t, "exit 3", nil)
	<-p.Done()
	require.ErrorContains(t, p.Err(), "exit status 3")
	require.NoError(t, p.Kill(), "killing twice is fine")
}

func TestStopLetsTheChildCleanUp(t *testing.T) {
	var log bytes.Buffer
	p := shell(t, "trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.01; done", &log)
	require.Eventually(t, func() bool { return p.Tail() != "" }, 5*time.Second, 5*time.Millisecond)
	require.NoError(t, p.Stop(5*time.Second))
	assert.Equal(t, "ready\nbye\n", p.Tail())
}

func TestStopKillsAChildThatDoesNotListen(t *testing.T) {
	p := shell(t, "trap '' TERM; echo ready; while :; do sleep 0.01; done", nil)
	require.Eventually(t, func() bool { return p.Tail() != "" }, 5*time.Second, 5*time.Millisecond)
	require.ErrorContains(t, p.Stop(50*time.Millisecond), "killed")
}

func TestPausedChildDoesNothingUntilResumed(t *testing.T) {
	p := shell(t, "read x; echo done", nil) // ends at once, there is no input
	<-p.Done()
	require.NoError(t, p.Pause(), "it has ended, nothing to do")

	p = shell(t, "sleep 0.5; echo done", nil)
	require.NoError(t, p.Pause())
	time.Sleep(time.Second)
	assert.Empty(t, p.Tail())
	require.NoError(t, p.Resume())
	<-p.Done()
	assert.Equal(t, "done\n", p.Tail())
}

func TestStartNamesTheMissingProgram(t *testing.T) {
	_, err := Start(Config{Path: "/no/such/program"})
	require.ErrorContains(t, err, "/no/such/program")
}
