package main

import (
	"fmt"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/encoding/protowire"
)

// oursCore is raft::Raft. Messages cross to it as raftpb bytes.
type oursCore struct{ node nativeNode }

// Ticks until a snapshot that nobody spoke of is sent again.
const snapshotRetryTicks = 12

func startOurs(o options, d *disk) (core, error) {
	hard, snapshot, entries := d.restored()
	values := []uint64{
		o.id, o.seed, o.electionTicks, heartbeatTicks, o.maxInflight, o.maxAppend, o.maxUncommitted, o.maxCommitted,
		maxPendingReads, snapshotRetryTicks,
	}
	var b []byte
	for i, value := range values {
		b = protowire.AppendTag(b, protowire.Number(i+1), protowire.VarintType)
		b = protowire.AppendVarint(b, value)
	}
	b = appendMessage(b, 11, &hard)
	b = appendMessage(b, 12, &snapshot.Metadata)
	for i := range entries {
		b = appendMessage(b, 13, &entries[i])
	}
	node, err := restoreNode(b)
	if err != nil {
		return nil, err
	}
	return &oursCore{node}, nil
}

// maxPendingReads is the only limit of ours that etcd's core does not know.
const maxPendingReads = 20

type marshaler interface{ Marshal() ([]byte, error) }

func marshal(m marshaler) []byte {
	b, err := m.Marshal()
	if err != nil {
		panic(err) // plain values always marshal
	}
	return b
}

func appendMessage(b []byte, field protowire.Number, m marshaler) []byte {
	b = protowire.AppendTag(b, field, protowire.BytesType)
	return protowire.AppendBytes(b, marshal(m))
}

func (c *oursCore) Tick()                   { c.node.tick() }
func (c *oursCore) Step(m pb.Message) error { return c.node.step(marshal(&m)) }
func (c *oursCore) HasReady() bool          { return c.node.status().hasReady }
func (c *oursCore) Written(ready)           {}
func (c *oursCore) Advance()                { c.node.advance() }
func (c *oursCore) Propose(b []byte) error  { return c.node.propose(b) }
func (c *oursCore) Campaign()               { c.node.campaign() }
func (c *oursCore) Close()                  { c.node.destroy() }

// ApplyConfChange has nothing to do: Advance applies the changes that were handed out.
func (c *oursCore) ApplyConfChange(pb.ConfChange) {}

func (c *oursCore) ProposeConfChange(change pb.ConfChange) error {
	return c.node.proposeConfChange(marshal(&change))
}

func (c *oursCore) ReadIndex(context []byte) error   { return c.node.readIndex(context) }
func (c *oursCore) TransferLeader(to uint64)         { _ = c.node.transfer(to) }
func (c *oursCore) ReportUnreachable(id uint64)      { c.node.reportUnreachable(id) }
func (c *oursCore) ReportSnapshot(id uint64, a bool) { c.node.reportSnapshot(id, a) }

func (c *oursCore) Compact(through uint64, snapshot pb.Snapshot) {
	c.node.compact(through, marshal(&snapshot.Metadata))
}

func (c *oursCore) Status() status {
	s := c.node.status()
	roles := [...]string{"follower", "pre-candidate", "candidate", "leader"}
	return status{
		term: s.term, leader: s.leader, commit: s.commit, applied: s.applied, leads: s.role == 3, role: roles[s.role],
	}
}

func (c *oursCore) Configuration() pb.ConfState {
	var out pb.ConfState
	if err := out.Unmarshal(c.node.configuration()); err != nil {
		panic(coreFailure{err.Error()})
	}
	return out
}

func (c *oursCore) TakeReady() ready {
	rd, err := decodeReady(c.node.takeReady())
	if err != nil {
		panic(coreFailure{err.Error()})
	}
	rd.sync = rd.hard != nil || rd.snapshot != nil || len(rd.entries) > 0
	return rd
}

// decodeReady reads the message Ready of raft_interop.proto; nothing of `b` is kept.
func decodeReady(b []byte) (ready, error) {
	var rd ready
	for len(b) > 0 {
		field, wire, n := protowire.ConsumeTag(b)
		if n < 0 {
			return rd, protowire.ParseError(n)
		}
		b = b[n:]
		if wire == protowire.VarintType {
			value, n := protowire.ConsumeVarint(b)
			if n < 0 {
				return rd, protowire.ParseError(n)
			}
			b = b[n:]
			rd.commit = value // field 9, the only number
			continue
		}
		value, n := protowire.ConsumeBytes(b)
		if n < 0 {
			return rd, protowire.ParseError(n)
		}
		b = b[n:]
		if err := rd.add(field, value); err != nil {
			return rd, fmt.Errorf("field %d of a Ready: %w", field, err)
		}
	}
	return rd, nil
}

func (rd *ready) add(field protowire.Number, value []byte) error {
	switch field {
	case 1:
		rd.hard = new(pb.HardState)
		return rd.hard.Unmarshal(value)
	case 2:
		rd.snapshot = new(pb.Snapshot)
		return rd.snapshot.Metadata.Unmarshal(value)
	case 3, 6:
		var entry pb.Entry
		err := entry.Unmarshal(value)
		if field == 3 {
			rd.entries = append(rd.entries, entry)
		} else {
			rd.committed = append(rd.committed, entry)
		}
		return err
	case 4, 5:
		var message pb.Message
		err := message.Unmarshal(value)
		if field == 4 {
			rd.early = append(rd.early, message)
		} else {
			rd.messages = append(rd.messages, message)
		}
		return err
	case 7:
		read, err := decodeReadState(value)
		rd.reads = append(rd.reads, read)
		return err
	case 8:
		rd.failed = append(rd.failed, append([]byte(nil), value...))
		return nil
	}
	return fmt.Errorf("unknown")
}

func decodeReadState(b []byte) (raft.ReadState, error) {
	var read raft.ReadState
	for len(b) > 0 {
		field, wire, n := protowire.ConsumeTag(b)
		if n < 0 {
			return read, protowire.ParseError(n)
		}
		b = b[n:]
		switch {
		case field == 1 && wire == protowire.VarintType:
			read.Index, n = protowire.ConsumeVarint(b)
		case field == 2 && wire == protowire.BytesType:
			var context []byte
			context, n = protowire.ConsumeBytes(b)
			read.RequestCtx = append([]byte(nil), context...)
		default:
			return read, fmt.Errorf("no field %d is known", field)
		}
		if n < 0 {
			return read, protowire.ParseError(n)
		}
		b = b[n:]
	}
	return read, nil
}
