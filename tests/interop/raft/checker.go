package main

import (
	"fmt"
	"slices"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
)

// checker holds what must be true of a group, over all its members at once while they run:
//
//	one leader per term; a new leader holds all that was applied in terms before its own
//	a leader commits by counting only what is of its own term, and with it all before
//	logs with an entry of the same index and term agree on it
//	a member votes once in a term
//	all members apply one sequence, each entry being on the disks of a majority when it is applied first
//	all members have the same configuration at the same place of that sequence
//	a read sees all that was applied anywhere when it began
//	no message promises what is not on its sender's disk, or acknowledges what its leader has not there
//
// The first violation is kept; later ones are its consequences.
type checker struct {
	members  []*member
	sequence []applied // from index 1
	leaders  map[uint64]uint64
	votes    map[vote]uint64
	stored   map[place]*pb.Entry
	// Terms of entries, as far as the leader of a term has told of its log: by its own term and their index.
	told map[place]uint64

	newLeader func(*member) // is told of the first leader of each term
	violation string
	counts    counts
}

// applied is one place of the common sequence.
type applied struct {
	entry         pb.Entry
	inTerm        uint64 // of the member that was the first to apply it
	state         uint64 // behind it
	configuration pb.ConfState
	before        pb.ConfState // the configuration before the last change
}

type vote struct{ term, voter uint64 }
type place struct{ index, term uint64 }

// The founding snapshot of every group covers index 1, of term 1.
const foundingIndex, foundingTerm = 1, 1

func newChecker(founders pb.ConfState) *checker {
	founding := pb.Entry{Index: foundingIndex, Term: foundingTerm}
	return &checker{
		sequence: []applied{{
			entry: founding, inTerm: foundingTerm, state: fold(0, &founding), configuration: founders, before: founders,
		}},
		leaders: map[uint64]uint64{},
		votes:   map[vote]uint64{},
		stored:  map[place]*pb.Entry{},
		told:    map[place]uint64{},

		newLeader: func(*member) {},
	}
}

func (c *checker) fail(format string, arguments ...any) {
	if c.violation == "" {
		c.violation = fmt.Sprintf(format, arguments...)
	}
}

// last is the end of what any member has applied.
func (c *checker) last() uint64 { return uint64(len(c.sequence)) }

// fold is FNV-1a over what is applied, so that a state names its whole history.
func fold(state uint64, entry *pb.Entry) uint64 {
	const prime = 0x100000001b3
	state = (state ^ entry.Index) * prime
	state = (state ^ entry.Term) * prime
	state = (state ^ uint64(entry.Type)) * prime
	for _, b := range entry.Data {
		state = (state ^ uint64(b)) * prime
	}
	return state
}

// onLeader comes once `term` is durable at its leader.
func (c *checker) onLeader(m *member, term uint64) {
	if other, known := c.leaders[term]; known {
		if other != m.id() {
			c.fail("term %d has two leaders, %d and %v", term, other, m)
		}
		return
	}
	c.leaders[term] = m.id()
	c.counts.leaders[m.kind]++
	c.newLeader(m)
	for at := len(c.sequence); at > 0; at-- {
		if c.sequence[at-1].inTerm >= term {
			continue // it may have been committed in a later term than its own
		}
		index := uint64(at)
		has, ok := m.disk.termAt(index)
		if m.disk.snapshot.Index < index && (!ok || has != c.sequence[at-1].entry.Term) {
			c.fail("%v leads term %d without entry %d of term %d, which is applied elsewhere", m, term, index,
				c.sequence[at-1].entry.Term)
		}
		return // if it holds this one it holds those before it (onDurable)
	}
}

// onLeaderCommit comes when a leader of `term` has committed up to `index` itself (Raft paper, figure 8).
func (c *checker) onLeaderCommit(m *member, term, index uint64) {
	has, ok := c.told[place{index, term}]
	if !ok {
		has, ok = m.disk.termAt(index)
	}
	if ok && has != term && index > m.disk.snapshot.Index {
		c.fail("%v, which leads term %d, commits entry %d of term %d by counting", m, term, index, has)
	}
}

// onDurable comes with each write of entries, from the index `from` on.
func (c *checker) onDurable(m *member, from uint64) {
	for i := from - m.disk.snapshot.Index - 1; i < uint64(len(m.disk.entries)); i++ {
		entry := &m.disk.entries[i]
		at := place{entry.Index, entry.Term}
		if known := c.stored[at]; known == nil {
			stored := *entry
			c.stored[at] = &stored
		} else if !sameEntry(known, entry) {
			c.fail("%v writes %s where another log has %s", m, entryText(entry), entryText(known))
		}
	}
}

func (c *checker) onSend(m *member, messages []pb.Message) {
	for i := range messages {
		c.checkPromise(m, &messages[i])
	}
}

func (c *checker) checkPromise(m *member, message *pb.Message) {
	preVote := message.Type == pb.MsgPreVote || message.Type == pb.MsgPreVoteResp && !message.Reject
	if !preVote && message.Term > m.disk.term {
		c.fail("%v sends %s while its disk is in term %d", m, messageText(message), m.disk.term)
	}
	if message.Type == pb.MsgApp || message.Type == pb.MsgSnap {
		c.onTold(message)
		return
	}
	// What was promised in a term that has passed since is not on the disk any more, rightly: the step that
	// ended the term knew of the promise.
	if message.Term != m.disk.term || message.Reject {
		return
	}
	switch message.Type {
	case pb.MsgAppResp:
		c.checkAcknowledgement(m, message)
	case pb.MsgVote:
		c.checkVote(m, message, m.id())
	case pb.MsgVoteResp:
		c.checkVote(m, message, message.To)
	}
}

func (c *checker) onTold(message *pb.Message) {
	if message.Type == pb.MsgSnap {
		c.told[place{message.Snapshot.Metadata.Index, message.Term}] = message.Snapshot.Metadata.Term
		return
	}
	c.told[place{message.Index, message.Term}] = message.LogTerm
	for i := range message.Entries {
		c.told[place{message.Entries[i].Index, message.Term}] = message.Entries[i].Term
	}
}

// checkAcknowledgement lets a member speak of what it has durably and either knows to be committed or was
// told of by this leader.
func (c *checker) checkAcknowledgement(m *member, message *pb.Message) {
	if message.Index > m.disk.last() {
		c.fail("%v sends %s, but its disk ends at %d", m, messageText(message), m.disk.last())
		return
	}
	if message.Index <= m.core.Status().commit {
		return
	}
	told, ok := c.told[place{message.Index, message.Term}]
	if here, _ := m.disk.termAt(message.Index); !ok || here != told {
		c.fail("%v sends %s, but its leader has another entry there, or none that it told of", m, messageText(message))
	}
}

func (c *checker) checkVote(m *member, message *pb.Message, candidate uint64) {
	if m.disk.vote != candidate {
		c.fail("%v sends %s, but its disk has a vote for %d", m, messageText(message), m.disk.vote)
	}
	key := vote{message.Term, m.id()}
	if other, known := c.votes[key]; known && other != candidate {
		c.fail("%v votes for %d and for %d in term %d", m, other, candidate, message.Term)
	}
	c.votes[key] = candidate
}

// onApply returns the state behind the entry.
func (c *checker) onApply(m *member, entry *pb.Entry) uint64 {
	c.counts.applied[m.kind]++
	state := fold(m.state, entry)
	if entry.Index <= c.last() {
		known := &c.sequence[entry.Index-1]
		if !sameEntry(&known.entry, entry) {
			c.fail("%v applies %s, but another member applied %s", m, entryText(entry), entryText(&known.entry))
		} else if known.state != state {
			c.fail("%v has another state behind entry %d than others", m, entry.Index)
		}
		return state
	}
	if entry.Index != c.last()+1 {
		c.fail("%v applies entry %d before anyone applied %d", m, entry.Index, c.last()+1)
		return state
	}
	before := &c.sequence[len(c.sequence)-1]
	c.checkMajority(m, entry, before)
	next := applied{
		entry: *entry, inTerm: m.core.Status().term, state: state,
		configuration: before.configuration, before: before.before,
	}
	if entry.Type == pb.EntryConfChange {
		next.before = before.configuration
		next.configuration = changed(before.configuration, entry.Data)
		c.counts.confChanges++
	}
	c.sequence = append(c.sequence, next)
	return state
}

// Who committed an entry may not have applied the change before it: then the configuration before decided.
func (c *checker) checkMajority(m *member, entry *pb.Entry, at *applied) {
	if !c.onMajority(at.configuration, entry) && !c.onMajority(at.before, entry) {
		c.fail("%v applies %s, which is not on the disks of a majority of %v", m, entryText(entry),
			at.configuration.Voters)
	}
}

func (c *checker) onMajority(configuration pb.ConfState, entry *pb.Entry) bool {
	on := 0
	for _, id := range configuration.Voters {
		d := &c.members[id-1].disk
		term, ok := d.termAt(entry.Index)
		if d.snapshot.Index >= entry.Index || ok && term == entry.Term {
			on++
		}
	}
	return on > len(configuration.Voters)/2
}

// changed is a configuration behind a membership change.
func changed(configuration pb.ConfState, data []byte) pb.ConfState {
	var change pb.ConfChange
	if change.Unmarshal(data) != nil {
		return configuration
	}
	without := func(ids []uint64) []uint64 {
		return slices.DeleteFunc(slices.Clone(ids), func(id uint64) bool { return id == change.NodeID })
	}
	next := pb.ConfState{Voters: without(configuration.Voters), Learners: without(configuration.Learners)}
	switch change.Type {
	case pb.ConfChangeAddNode:
		next.Voters = append(next.Voters, change.NodeID)
	case pb.ConfChangeAddLearnerNode:
		next.Learners = append(next.Learners, change.NodeID)
	}
	slices.Sort(next.Voters)
	slices.Sort(next.Learners)
	return next
}

func (c *checker) onRestore(m *member, snapshot pb.SnapshotMetadata, state uint64) {
	if snapshot.Index == 0 {
		return
	}
	if snapshot.Index > c.last() {
		c.fail("%v has a snapshot at %d, but nobody applied that", m, snapshot.Index)
		return
	}
	known := &c.sequence[snapshot.Index-1]
	if known.entry.Term != snapshot.Term || known.state != state {
		c.fail("%v has another state than others in its snapshot at %d", m, snapshot.Index)
	}
}

// onConfiguration comes when the member has applied m.applied, a change or a snapshot.
func (c *checker) onConfiguration(m *member, configuration pb.ConfState) {
	if m.applied == 0 || m.applied > c.last() {
		return
	}
	if should := c.sequence[m.applied-1].configuration; !sameConfiguration(should, configuration) {
		c.fail("%v has %s behind entry %d, others have %s", m, configurationText(configuration), m.applied,
			configurationText(should))
	}
}

func sameConfiguration(a, b pb.ConfState) bool {
	sorted := func(ids []uint64) []uint64 { return slices.Sorted(slices.Values(ids)) }
	return slices.Equal(sorted(a.Voters), sorted(b.Voters)) && slices.Equal(sorted(a.Learners), sorted(b.Learners))
}

func (c *checker) onRead(m *member, mustSee uint64) {
	if m.applied < mustSee {
		c.fail("%v serves a read at %d, but %d was applied when it was asked", m, m.applied, mustSee)
	}
	if m.leads() {
		c.counts.leaderReads[m.kind]++
	} else {
		c.counts.followerReads[m.kind]++
	}
}

func isEmptySnapshot(s *pb.Snapshot) bool { return raft.IsEmptySnap(*s) }
