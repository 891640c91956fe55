package main

import (
	"encoding/binary"

	pb "go.etcd.io/raft/v3/raftpb"
)

// disk is what one member keeps through a crash.
type disk struct {
	term, vote, commit uint64
	// A commit index that was written without a sync, which etcd's contract allows: it is on the disk with
	// the next sync.
	unsynced uint64
	snapshot pb.SnapshotMetadata
	state    uint64 // of the state machine at the snapshot
	// The snapshot before, which is kept: a message may name it.
	olderIndex, olderState uint64
	entries                []pb.Entry // behind the snapshot, without a hole
}

func (d *disk) last() uint64 { return d.snapshot.Index + uint64(len(d.entries)) }

// termAt is false below the snapshot and past the end.
func (d *disk) termAt(index uint64) (uint64, bool) {
	if index == d.snapshot.Index {
		return d.snapshot.Term, true
	}
	if index < d.snapshot.Index || index > d.last() {
		return 0, false
	}
	return d.entries[index-d.snapshot.Index-1].Term, true
}

// cut is how much of a write survives a crash in its midst, in the order in which it is written.
type cut struct {
	hard     bool
	snapshot bool // only after hard
	entries  int  // only after both
}

func whole(rd ready) cut { return cut{true, true, len(rd.entries)} }

// write puts a ready on the disk, or as much of it as survives; state is of the snapshot in it. The commit
// index is stored with the entries: a member that comes back must not have entries behind a membership
// change that it has forgotten to be committed (replication/meta/README.md, "Decisions").
func (d *disk) write(rd ready, state uint64, c cut) {
	if !c.hard {
		return
	}
	if rd.hard != nil {
		d.term, d.vote = rd.hard.Term, rd.hard.Vote
	}
	if rd.snapshot != nil {
		if !c.snapshot {
			return
		}
		d.install(rd.snapshot.Metadata, state)
	}
	if c.entries > 0 {
		d.entries = append(d.entries[:rd.entries[0].Index-d.snapshot.Index-1:rd.entries[0].Index-d.snapshot.Index-1],
			rd.entries[:c.entries]...)
	}
	d.unsynced = max(d.unsynced, rd.commit)
	if rd.sync {
		d.commit = max(d.commit, min(d.unsynced, d.last()))
	}
}

// install puts a leader's snapshot in the place of the log that it does not continue.
func (d *disk) install(meta pb.SnapshotMetadata, state uint64) {
	if term, ok := d.termAt(meta.Index); ok && term == meta.Term {
		d.fold(meta, state)
		return
	}
	d.entries = nil
	d.replace(meta, state)
}

// fold puts a snapshot in the place of the entries that are in it.
func (d *disk) fold(meta pb.SnapshotMetadata, state uint64) {
	d.entries = append([]pb.Entry(nil), d.entries[meta.Index-d.snapshot.Index:]...)
	d.replace(meta, state)
}

func (d *disk) replace(meta pb.SnapshotMetadata, state uint64) {
	d.olderIndex, d.olderState = d.snapshot.Index, d.state
	d.snapshot, d.state = meta, state
}

// stateAt is what a snapshot at `index` is sent with; false: it is not kept any more.
func (d *disk) stateAt(index uint64) (uint64, bool) {
	if index == d.snapshot.Index {
		return d.state, true
	}
	return d.olderState, index == d.olderIndex
}

// restored is what a member starts with.
func (d *disk) restored() (pb.HardState, pb.Snapshot, []pb.Entry) {
	hard := pb.HardState{Term: d.term, Vote: d.vote, Commit: min(max(d.commit, d.snapshot.Index), d.last())}
	snapshot := pb.Snapshot{Data: encodeState(d.state), Metadata: d.snapshot}
	return hard, snapshot, append([]pb.Entry(nil), d.entries...)
}

// crash loses what was not synced.
func (d *disk) crash() { d.unsynced = 0 }

func encodeState(state uint64) []byte { return binary.BigEndian.AppendUint64(nil, state) }

func decodeState(b []byte) uint64 {
	if len(b) != 8 {
		return 0
	}
	return binary.BigEndian.Uint64(b)
}
