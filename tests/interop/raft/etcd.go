package main

import (
	"crypto/rand"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"slices"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
)

// etcdCore is etcd's RawNode on its MemoryStorage, which holds what the member's disk holds.
type etcdCore struct {
	node    *raft.RawNode
	storage *raft.MemoryStorage
	taken   raft.Ready
}

// etcdRandom makes the core's election timeouts follow from a seed: it draws them from crypto/rand.Reader,
// of which a process has one.
func etcdRandom(rng *mathrand.Rand) { rand.Reader = randomReader{rng} }

type randomReader struct{ rng *mathrand.Rand }

var _ io.Reader = randomReader{}

func (r randomReader) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte(r.rng.Uint32())
	}
	return len(b), nil
}

func startEtcd(o options, d *disk) (core, error) {
	hard, snapshot, entries := d.restored()
	storage := raft.NewMemoryStorage()
	if snapshot.Metadata.Index > 0 {
		if err := storage.ApplySnapshot(snapshot); err != nil {
			return nil, fmt.Errorf("etcd's storage does not take its snapshot: %w", err)
		}
	}
	if err := storage.SetHardState(hard); err != nil {
		return nil, fmt.Errorf("etcd's storage does not take its hard state: %w", err)
	}
	if err := storage.Append(entries); err != nil {
		return nil, fmt.Errorf("etcd's storage does not take its entries: %w", err)
	}
	node, err := raft.NewRawNode(&raft.Config{
		ID:                        o.id,
		ElectionTick:              int(o.electionTicks),
		HeartbeatTick:             heartbeatTicks,
		Storage:                   storage,
		Applied:                   snapshot.Metadata.Index,
		MaxSizePerMsg:             o.maxAppend,
		MaxCommittedSizePerReady:  o.maxCommitted,
		MaxUncommittedEntriesSize: o.maxUncommitted,
		MaxInflightMsgs:           int(o.maxInflight),
		CheckQuorum:               true,
		PreVote:                   true,
		ReadOnlyOption:            raft.ReadOnlySafe,
		DisableProposalForwarding: true,
		StepDownOnRemoval:         true,
	})
	if err != nil {
		return nil, fmt.Errorf("etcd's core does not start: %w", err)
	}
	return &etcdCore{node: node, storage: storage}, nil
}

func (c *etcdCore) Tick()                    { c.node.Tick() }
func (c *etcdCore) Step(m pb.Message) error  { return c.node.Step(m) }
func (c *etcdCore) HasReady() bool           { return c.node.HasReady() }
func (c *etcdCore) Campaign()                { _ = c.node.Campaign() }
func (c *etcdCore) TransferLeader(to uint64) { c.node.TransferLeader(to) }
func (c *etcdCore) Close()                   {}

func (c *etcdCore) TakeReady() ready {
	rd := c.node.Ready()
	c.taken = rd
	out := ready{
		sync: rd.MustSync, entries: rd.Entries, messages: rd.Messages, committed: rd.CommittedEntries,
		reads: rd.ReadStates,
	}
	if !raft.IsEmptyHardState(rd.HardState) {
		out.hard = &pb.HardState{Term: rd.HardState.Term, Vote: rd.HardState.Vote}
		out.commit = rd.HardState.Commit
	}
	if !raft.IsEmptySnap(rd.Snapshot) {
		out.snapshot = &rd.Snapshot
		out.sync = true
	}
	return out
}

func (c *etcdCore) Written(rd ready) {
	if rd.snapshot != nil {
		if err := c.storage.ApplySnapshot(*rd.snapshot); err != nil {
			panic(err)
		}
	}
	if rd.hard != nil {
		if err := c.storage.SetHardState(c.taken.HardState); err != nil {
			panic(err)
		}
	}
	if err := c.storage.Append(rd.entries); err != nil {
		panic(err)
	}
}

func (c *etcdCore) ApplyConfChange(change pb.ConfChange) { c.node.ApplyConfChange(change) }

func (c *etcdCore) Advance() {
	c.node.Advance(c.taken)
	c.taken = raft.Ready{}
}

func (c *etcdCore) Propose(data []byte) error { return c.node.Propose(data) }

func (c *etcdCore) ProposeConfChange(change pb.ConfChange) error {
	return c.node.ProposeConfChange(change)
}

// ReadIndex of a member that knows no leader is lost without a word.
func (c *etcdCore) ReadIndex(context []byte) error {
	c.node.ReadIndex(context)
	return nil
}

func (c *etcdCore) Compact(through uint64, snapshot pb.Snapshot) {
	meta := &snapshot.Metadata
	if _, err := c.storage.CreateSnapshot(meta.Index, &meta.ConfState, snapshot.Data); err != nil {
		panic(err)
	}
	if err := c.storage.Compact(through); err != nil && err != raft.ErrCompacted {
		panic(err)
	}
}

func (c *etcdCore) ReportUnreachable(id uint64) { c.node.ReportUnreachable(id) }

func (c *etcdCore) ReportSnapshot(id uint64, arrived bool) {
	outcome := raft.SnapshotFailure
	if arrived {
		outcome = raft.SnapshotFinish
	}
	c.node.ReportSnapshot(id, outcome)
}

func (c *etcdCore) Status() status {
	s := c.node.BasicStatus()
	roles := [...]string{"follower", "candidate", "leader", "pre-candidate"}
	return status{
		term: s.HardState.Term, leader: s.SoftState.Lead, commit: s.HardState.Commit, applied: s.Applied,
		leads: s.RaftState == raft.StateLeader, role: roles[s.RaftState],
	}
}

func (c *etcdCore) Configuration() pb.ConfState {
	config := c.node.Status().Config
	var learners []uint64
	for id := range config.Learners {
		learners = append(learners, id)
	}
	slices.Sort(learners)
	return pb.ConfState{Voters: config.Voters[0].Slice(), Learners: learners}
}
