package main

import (
	"fmt"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
)

// kind says whose consensus core a member runs.
type kind int

const (
	ours kind = iota
	etcd
)

func (k kind) String() string { return [...]string{"ours", "etcd"}[k] }

// options are the limits of one member; both kinds know them all.
type options struct {
	id             uint64
	maxInflight    uint64 // appends on their way to one member
	maxAppend      uint64 // bytes of one append
	maxUncommitted uint64 // bytes
	maxCommitted   uint64 // bytes handed out in one ready
	electionTicks  uint64
	seed           uint64 // of our core's random numbers; etcd's come from crypto/rand.Reader
}

const heartbeatTicks = 1

// ready is what a core wants done. `early` leaves at once; then `hard`, `snapshot`, `entries` and
// `commit` go to the disk; then `messages` leave; then `committed` is applied and `reads` are answered.
type ready struct {
	hard      *pb.HardState // term and vote; nil: as before
	commit    uint64        // 0: as before
	sync      bool          // false: the write may be lost by a crash although it has returned
	snapshot  *pb.Snapshot
	entries   []pb.Entry // replace what is there from the first one's index on
	early     []pb.Message
	messages  []pb.Message
	committed []pb.Entry
	reads     []raft.ReadState
	failed    [][]byte // contexts of reads that will not be answered
}

// status is what a core says of itself.
type status struct {
	term, leader, commit, applied uint64
	leads                         bool
	role                          string
}

// core is a consensus core, pure: ours or etcd's. An assertion of a core that fails is a panic with the
// type coreFailure or with what etcd's logger was given.
type core interface {
	Tick()
	// Step takes a message of a peer. An error is a message refused; nothing of it is used.
	Step(m pb.Message) error
	HasReady() bool
	// TakeReady is followed by Advance before it is called again; inputs may come between.
	TakeReady() ready
	// Written says that a ready is on the disk.
	Written(rd ready)
	// ApplyConfChange comes for each change among the committed entries, before Advance.
	ApplyConfChange(change pb.ConfChange)
	Advance()

	// Propose appends on a leader, else it is an error.
	Propose(data []byte) error
	ProposeConfChange(change pb.ConfChange) error
	ReadIndex(context []byte) error
	// TransferLeader may be asked of a leader; what others do with it is up to them.
	TransferLeader(to uint64)
	Campaign()
	// Compact forgets entries up to `through`; the snapshot is on the disk.
	Compact(through uint64, snapshot pb.Snapshot)
	ReportUnreachable(id uint64)
	ReportSnapshot(id uint64, arrived bool)
	Status() status
	Configuration() pb.ConfState
	Close()
}

// coreFailure is an assertion of our core that failed.
type coreFailure struct{ text string }

func (f coreFailure) Error() string { return f.text }

// start makes the core of a member from what its disk holds.
func start(k kind, o options, d *disk) (core, error) {
	switch k {
	case ours:
		return startOurs(o, d)
	case etcd:
		return startEtcd(o, d)
	}
	return nil, fmt.Errorf("no kind of core is called %d", k)
}
