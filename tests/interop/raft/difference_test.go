package main

import (
	"testing"

	pb "go.etcd.io/raft/v3/raftpb"
)

// configurationAfter is what member 1 believes when a snapshot at 5, in which member 4 votes, came while the
// entry that made 4 a learner was being written and applied.
func configurationAfter(t *testing.T, k kind) pb.ConfState {
	t.Helper()
	members := pb.ConfState{Voters: []uint64{1, 2, 3}}
	d := disk{term: 1, snapshot: pb.SnapshotMetadata{Index: 1, Term: 1, ConfState: members}}
	o := options{
		id: 1, maxInflight: 4, maxAppend: 1 << 20, maxUncommitted: 1 << 20, maxCommitted: 1 << 20, electionTicks: 10,
	}
	c, err := start(k, o, &d)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	step := func(m pb.Message) {
		m.From, m.To, m.Term = 2, 1, 2
		if err := c.Step(m); err != nil {
			t.Fatal(err)
		}
	}
	change := pb.ConfChange{Type: pb.ConfChangeAddLearnerNode, NodeID: 4}
	entry := pb.Entry{Index: 2, Term: 2, Type: pb.EntryConfChange, Data: marshal(&change)}
	step(pb.Message{Type: pb.MsgApp, Index: 1, LogTerm: 1, Commit: 2, Entries: []pb.Entry{entry}})
	first := c.TakeReady()
	if len(first.committed) != 1 {
		t.Fatalf("%d entries are handed out, not the one", len(first.committed))
	}
	step(pb.Message{Type: pb.MsgSnap, Snapshot: &pb.Snapshot{Metadata: pb.SnapshotMetadata{
		Index: 5, Term: 2, ConfState: pb.ConfState{Voters: []uint64{1, 2, 3, 4}},
	}}})
	c.Written(first)
	c.ApplyConfChange(change)
	c.Advance()
	second := c.TakeReady()
	if second.snapshot == nil || second.snapshot.Metadata.Index != 5 {
		t.Fatal("the snapshot is not handed out")
	}
	c.Written(second)
	c.Advance()
	return c.Configuration()
}

// A row of the table in README.md: our core skips what the snapshot holds already; the driver of etcd's has
// to keep the two apart (world.deliver).
func TestChangeOlderThanASnapshotThatCameMeanwhile(t *testing.T) {
	should := pb.ConfState{Voters: []uint64{1, 2, 3, 4}}
	if got := configurationAfter(t, ours); !sameConfiguration(got, should) {
		t.Errorf("ours has %s", configurationText(got))
	}
	if got := configurationAfter(t, etcd); sameConfiguration(got, should) {
		t.Error("etcd's core skips such a change now: README.md and world.deliver need not say otherwise any more")
	}
}
