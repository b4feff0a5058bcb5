// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"encoding/json"
	"flag"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write what the queries answer into the page instead of comparing with it")

const pageFile = "../../docs/audit-trail.md"

// question is one of the page: a heading, the query below it, and what it answered when the
// page was written; empty if the page does not show it.
type question struct {
	heading, query, answer string
}

var (
	queryBlock  = regexp.MustCompile("(?s)```logsql\n(.*?)```\n(?:\n```json\n(.*?)```\n)?")
	headingLine = regexp.MustCompile(`(?m)^### (.*)$`)
)

// questions reads the page.
func questions(t *testing.T) map[string]question {
	t.Helper()
	page, err := os.ReadFile(pageFile)
	require.NoError(t, err)
	all := map[string]question{}
	for _, at := range queryBlock.FindAllSubmatchIndex(page, -1) {
		headings := headingLine.FindAllSubmatch(page[:at[0]], -1)
		require.NotEmpty(t, headings)
		q := question{heading: string(headings[len(headings)-1][1]), query: string(page[at[2]:at[3]])}
		if at[4] >= 0 {
			q.answer = string(page[at[4]:at[5]])
		}
		require.NotContains(t, all, q.heading, "one query a heading")
		all[q.heading] = q
	}
	return all
}

// assertShown compares the page's answer with the real one, but for what is another one in
// each run.
func (q question) assertShown(t *testing.T, answer []row) {
	t.Helper()
	if q.answer == "" {
		return
	}
	var lines []string
	for _, r := range answer {
		lines = append(lines, r.line)
	}
	text := process.ReplaceAllString(strings.Join(lines, "\n")+"\n", "")
	if *update {
		page, err := os.ReadFile(pageFile)
		require.NoError(t, err)
		written := strings.Replace(string(page), q.answer, text, 1)
		require.NoError(t, os.WriteFile(pageFile, []byte(written), 0o644))
		return
	}
	assert.Equal(t, steady(q.answer), steady(text), "%s: run the test with -update and review the page", q.heading)
}

// process is how a sentence names a client of this host: here the test, which plays all of them.
var process = regexp.MustCompile(` \([^() ]+\[\d+\]\)`)

var unsteady = []struct {
	of *regexp.Regexp
	as string
}{
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT[0-9:.]+Z`), "TIME"},
	{regexp.MustCompile(`\b[0-9a-f]{16}\b`), "ID"},
	{regexp.MustCompile(` in [0-9.]+(ns|µs|ms|s)`), " in TOOK"},
}

func steady(text string) string {
	text = process.ReplaceAllString(text, "")
	for _, u := range unsteady {
		text = u.of.ReplaceAllString(text, u.as)
	}
	return text
}

// row is one line of an answer.
type row struct {
	line   string
	fields map[string]string
}

func rows(t *testing.T, answer string) (all []row) {
	t.Helper()
	for line := range strings.Lines(answer) {
		r := row{line: strings.TrimSpace(line)}
		require.NoError(t, json.Unmarshal([]byte(line), &r.fields), line)
		all = append(all, r)
	}
	return all
}
