package main

import (
	"bytes"
	"fmt"
	"slices"

	pb "go.etcd.io/raft/v3/raftpb"
)

// driverFault is a fault put into the way a driver of our core treats its Ready, to see it caught.
type driverFault string

const (
	noDriverFault   driverFault = ""
	sendBeforeWrite driverFault = "send-before-write" // everything leaves before anything is durable
	forgetVote      driverFault = "forget-vote"       // a restart loses the vote
	forgetCommit    driverFault = "forget-commit"     // the commit index is not stored with the entries
)

var driverFaults = []driverFault{sendBeforeWrite, forgetVote, forgetCommit}

// member is one node: a core, its disk and its state machine. It obeys the contract of ready step by
// step, so that a crash can come between any two.
type member struct {
	kind    kind
	options options
	fault   driverFault // of ours only
	checker *checker
	trace   *trace

	core      core // nil: down
	disk      disk
	applied   uint64
	state     uint64 // of the state machine: a hash of all that it applied
	writing   *ready
	received  map[uint64]uint64 // states of snapshots that came, by index
	proposals map[string]bool   // taken in this life, not applied yet
	reads     map[string]*read
	role      string
	led       uint64 // the last term it was seen to lead
	inherited uint64 // its commit index then
	commit    uint64
	unchecked bool // the configuration has changed since it was last compared
}

type read struct {
	mustSee uint64
	at      uint64 // 0: not confirmed yet
}

func (m *member) id() uint64  { return m.options.id }
func (m *member) up() bool    { return m.core != nil }
func (m *member) leads() bool { return m.up() && m.core.Status().leads }

func (m *member) String() string { return fmt.Sprintf("%d (%s)", m.id(), m.kind) }

// start runs the member from its disk.
func (m *member) start(seed uint64) {
	m.options.seed = seed
	if m.fault == forgetVote {
		m.disk.vote = 0
	}
	started, err := start(m.kind, m.options, &m.disk)
	if err != nil {
		m.checker.fail("%v does not start: %v", m, err)
		return
	}
	m.core = started
	m.applied, m.state = m.disk.snapshot.Index, m.disk.state
	m.received = map[uint64]uint64{}
	m.proposals = map[string]bool{}
	m.reads = map[string]*read{}
	m.role, m.led, m.commit = "", 0, 0
	m.trace.add("%v starts in term %d, vote %d, snapshot %d, log to %d, commit %d", m, m.disk.term, m.disk.vote,
		m.disk.snapshot.Index, m.disk.last(), m.disk.commit)
	m.checker.onRestore(m, m.disk.snapshot, m.disk.state)
	m.unchecked = true
	m.checkConfiguration()
}

// crash loses all but the disk, and but some of what was being written.
func (m *member) crash(c cut) {
	if m.writing != nil {
		m.write(c)
	}
	m.trace.add("%v crashes", m)
	m.core.Close()
	m.core, m.writing = nil, nil
	m.disk.crash()
}

func (m *member) hasReady() bool { return m.up() && m.writing == nil && m.core.HasReady() }

// take begins a ready; the messages that leave at once.
func (m *member) take() []pb.Message {
	rd := m.core.TakeReady()
	if m.kind == ours {
		switch m.fault {
		case sendBeforeWrite:
			rd.early, rd.messages = append(rd.early, rd.messages...), nil
		case forgetCommit:
			rd.commit = 0
		}
	}
	m.writing = &rd
	m.checker.onSend(m, rd.early)
	return rd.early
}

func (m *member) write(c cut) {
	rd := m.writing
	var state uint64
	if rd.snapshot != nil {
		state = m.received[rd.snapshot.Metadata.Index]
	}
	m.disk.write(*rd, state, c)
	if c.entries > 0 {
		m.checker.onDurable(m, rd.entries[0].Index)
	}
}

// written ends the write of a ready; the messages that leave now.
func (m *member) written() []pb.Message {
	m.write(whole(*m.writing))
	m.core.Written(*m.writing)
	m.checker.onSend(m, m.writing.messages)
	m.noteRole()
	return m.writing.messages
}

// finish applies and answers what a ready brought.
func (m *member) finish() {
	rd := m.writing
	if rd.snapshot != nil {
		m.applied = rd.snapshot.Metadata.Index
		m.state = m.received[m.applied]
		for index := range m.received {
			if index <= m.applied {
				delete(m.received, index)
			}
		}
		m.trace.add("%v restores the snapshot at %d", m, m.applied)
		m.checker.onRestore(m, rd.snapshot.Metadata, m.state)
		m.unchecked = true
	}
	for i := range rd.committed {
		m.apply(&rd.committed[i])
	}
	for _, state := range rd.reads {
		if r := m.reads[string(state.RequestCtx)]; r != nil && r.at == 0 {
			r.at = max(state.Index, 1)
		}
	}
	for _, context := range rd.failed {
		delete(m.reads, string(context))
	}
	m.serveReads()
	m.writing = nil
	m.core.Advance()
	m.noteRole()
	m.checkConfiguration()
	commit := m.core.Status().commit
	if commit < m.commit {
		m.checker.fail("the commit index of %v falls from %d to %d", m, m.commit, commit)
	}
	m.commit = commit
}

func (m *member) apply(entry *pb.Entry) {
	if entry.Index != m.applied+1 {
		m.checker.fail("%v applies entry %d after %d", m, entry.Index, m.applied)
	}
	m.trace.add("%v applies %s", m, entryText(entry))
	m.state = m.checker.onApply(m, entry)
	m.applied = entry.Index
	if entry.Type == pb.EntryConfChange {
		m.unchecked = true
		var change pb.ConfChange
		if err := change.Unmarshal(entry.Data); err != nil {
			m.checker.fail("%v applies a membership change that does not parse: %v", m, err)
			return
		}
		m.core.ApplyConfChange(change)
	}
	if m.proposals[string(entry.Data)] {
		delete(m.proposals, string(entry.Data))
		m.checker.counts.acknowledged[m.kind]++
	}
}

func (m *member) serveReads() {
	contexts := make([]string, 0, len(m.reads))
	for context, r := range m.reads {
		if r.at != 0 && r.at <= m.applied {
			contexts = append(contexts, context)
		}
	}
	slices.Sort(contexts)
	for _, context := range contexts {
		m.trace.add("%v serves read %s at %d", m, context, m.applied)
		m.checker.onRead(m, m.reads[context].mustSee)
		delete(m.reads, context)
	}
}

func (m *member) traceRole() {
	if !m.trace.on {
		return
	}
	if s := m.core.Status(); s.role != m.role {
		m.trace.add("%v is %s in term %d", m, s.role, s.term)
		m.role = s.role
	}
}

// noteRole tells the checker of a new leader once its term is durable.
func (m *member) noteRole() {
	m.traceRole()
	s := m.core.Status()
	if s.leads && s.term != m.led && m.disk.term == s.term {
		m.led, m.inherited = s.term, s.commit
		m.checker.onLeader(m, s.term)
	}
	if s.leads && s.term == m.led && s.commit > m.inherited {
		m.checker.onLeaderCommit(m, s.term, s.commit)
	}
}

// snapshotAhead is the index of a snapshot that the core has taken over but not handed out yet, else 0.
func (m *member) snapshotAhead() uint64 {
	ahead := uint64(0)
	for index := range m.received {
		if index > m.applied && index <= m.core.Status().commit {
			ahead = max(ahead, index)
		}
	}
	return ahead
}

// checkConfiguration compares who decides here with what the applied sequence says. While a snapshot waits
// to be restored, its members decide already.
func (m *member) checkConfiguration() {
	if !m.unchecked || m.snapshotAhead() != 0 {
		return
	}
	m.unchecked = false
	m.checker.onConfiguration(m, m.core.Configuration())
}

func (m *member) step(message pb.Message) {
	if message.Snapshot != nil && !isEmptySnapshot(message.Snapshot) {
		m.received[message.Snapshot.Metadata.Index] = decodeState(message.Snapshot.Data)
	}
	if err := m.core.Step(message); err != nil {
		m.checker.counts.refused[m.kind]++
		if m.trace.on {
			m.trace.add("  %s: refused: %v", messageText(&message), err)
		}
	} else if m.trace.on {
		m.trace.add("  %s", messageText(&message))
	}
	m.traceRole()
}

func (m *member) propose(data string) {
	if m.core.Propose([]byte(data)) == nil {
		m.trace.add("%v is asked for %s", m, data)
		m.proposals[data] = true
	}
}

// proposeConfChange says whether the change was taken; a leader of etcd's that has one under way takes it
// and appends an empty entry in its place.
func (m *member) proposeConfChange(change pb.ConfChange) bool {
	if m.core.ProposeConfChange(change) != nil {
		return false
	}
	m.trace.add("%v is asked for %v of %d", m, change.Type, change.NodeID)
	return true
}

func (m *member) read(context string) {
	if m.core.ReadIndex([]byte(context)) == nil {
		m.trace.add("%v is asked for read %s, %d is applied", m, context, m.checker.last())
		m.reads[context] = &read{mustSee: m.checker.last()}
	}
}

// takeSnapshot folds what is applied into a snapshot, and keeps `trailing` entries for those who lag.
func (m *member) takeSnapshot(trailing uint64) {
	if !m.up() || m.writing != nil || m.applied <= m.disk.snapshot.Index {
		return
	}
	term, ok := m.disk.termAt(m.applied)
	if !ok {
		m.checker.fail("%v has applied %d, which is not on its disk", m, m.applied)
		return
	}
	snapshot := pb.Snapshot{
		Data:     encodeState(m.state),
		Metadata: pb.SnapshotMetadata{ConfState: m.core.Configuration(), Index: m.applied, Term: term},
	}
	through := m.applied - min(trailing, m.applied)
	m.trace.add("%v takes a snapshot at %d and keeps the entries behind %d", m, m.applied, through)
	m.disk.fold(snapshot.Metadata, m.state)
	m.core.Compact(through, snapshot)
}

func sameEntry(a, b *pb.Entry) bool {
	return a.Term == b.Term && a.Type == b.Type && bytes.Equal(a.Data, b.Data)
}
