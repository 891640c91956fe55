package main

import (
	"strings"
	"testing"

	pb "go.etcd.io/raft/v3/raftpb"
)

// group is three members of ours that never run, for a checker to look at; each disk holds the founding
// snapshot and entry 2 of term 1.
func group(t *testing.T) (*checker, []*member) {
	t.Helper()
	w := newWorld(1, mix{3, 3}, noDriverFault, nil)
	for _, n := range w.nodes {
		n.disk.entries = []pb.Entry{{Index: 2, Term: 1, Data: []byte("a")}}
	}
	t.Cleanup(func() {
		for _, n := range w.nodes {
			n.core.Close()
		}
	})
	return w.checker, w.checker.members
}

func TestCheckerNoticesEachRule(t *testing.T) {
	entry := pb.Entry{Index: 2, Term: 1, Data: []byte("a")}
	other := pb.Entry{Index: 2, Term: 1, Data: []byte("b")}
	founding := pb.SnapshotMetadata{Index: 1, Term: 1}
	cases := []struct {
		name string
		do   func(c *checker, m []*member)
		says string
	}{
		{"two leaders", func(c *checker, m []*member) {
			c.onLeader(m[0], 3)
			c.onLeader(m[1], 3)
		}, "two leaders"},
		{"a leader without what is applied", func(c *checker, m []*member) {
			c.onApply(m[0], &entry)
			m[1].disk.entries = nil
			c.onLeader(m[1], 3)
		}, "without entry 2"},
		{"an older term committed by count", func(c *checker, m []*member) {
			c.onLeaderCommit(m[0], 2, 2)
		}, "by counting"},
		{"two entries in one place", func(c *checker, m []*member) {
			c.onDurable(m[0], 2)
			m[1].disk.entries = []pb.Entry{other}
			c.onDurable(m[1], 2)
		}, "where another log has"},
		{"two sequences", func(c *checker, m []*member) {
			c.onApply(m[0], &entry)
			c.onApply(m[1], &other)
		}, "but another member applied"},
		{"applied without a majority", func(c *checker, m []*member) {
			m[1].disk.entries, m[2].disk.entries = nil, nil
			c.onApply(m[0], &entry)
		}, "not on the disks of a majority"},
		{"another state in a snapshot", func(c *checker, m []*member) {
			c.onRestore(m[0], founding, 7)
		}, "another state"},
		{"another configuration", func(c *checker, m []*member) {
			c.onConfiguration(m[0], pb.ConfState{Voters: []uint64{1, 2}})
		}, "others have voters [1 2 3]"},
		{"a read that is too old", func(c *checker, m []*member) {
			c.onRead(m[0], 2)
		}, "was applied when it was asked"},
		{"a message of a term that is not durable", func(c *checker, m []*member) {
			c.onSend(m[0], []pb.Message{{Type: pb.MsgHeartbeat, From: 1, To: 2, Term: 2}})
		}, "its disk is in term 1"},
		{"a vote that is not durable", func(c *checker, m []*member) {
			c.onSend(m[0], []pb.Message{{Type: pb.MsgVoteResp, From: 1, To: 2, Term: 1}})
		}, "a vote for 0"},
		{"two votes", func(c *checker, m []*member) {
			m[0].disk.vote = 2
			c.onSend(m[0], []pb.Message{{Type: pb.MsgVoteResp, From: 1, To: 2, Term: 1}})
			m[0].disk.vote = 3
			c.onSend(m[0], []pb.Message{{Type: pb.MsgVoteResp, From: 1, To: 3, Term: 1}})
		}, "votes for 2 and for 3"},
		{"an acknowledgement of what is not durable", func(c *checker, m []*member) {
			c.onSend(m[0], []pb.Message{{Type: pb.MsgAppResp, From: 1, To: 2, Term: 1, Index: 3}})
		}, "its disk ends at 2"},
		{"an acknowledgement of what the leader has not", func(c *checker, m []*member) {
			c.onSend(m[0], []pb.Message{{Type: pb.MsgAppResp, From: 1, To: 2, Term: 1, Index: 2}})
		}, "or none that it told of"},
	}
	for _, test := range cases {
		t.Run(test.name, func(t *testing.T) {
			c, members := group(t)
			if c.violation != "" {
				t.Fatalf("violated before: %s", c.violation)
			}
			test.do(c, members)
			if !strings.Contains(c.violation, test.says) {
				t.Errorf("the violation is %q, it should say %q", c.violation, test.says)
			}
		})
	}
}
