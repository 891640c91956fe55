package main

import (
	"fmt"
	"slices"

	pb "go.etcd.io/raft/v3/raftpb"
)

const faultStep = 50_000 // microseconds

// perStep is whether something that is expected `rate` times a second happens in this step.
func (w *world) perStep(rate float64) bool { return w.happens(rate * faultStep / 1e6) }

// leader is the leader of the latest term that has one, nil if there is none.
func (w *world) leader() *node {
	var best *node
	var term uint64
	for _, n := range w.nodes {
		if !n.up() {
			continue
		}
		if s := n.core.Status(); s.leads && s.term >= term {
			best, term = n, s.term
		}
	}
	return best
}

func (w *world) anyNode() *node { return w.nodes[w.rng.IntN(len(w.nodes))] }

// onClient asks for a command or a read; whoever is asked may or may not lead, or only believe so.
func (w *world) onClient() {
	total := w.faults.proposals + w.faults.reads
	w.later(1+w.rng.Uint64N(2_000_000/total), w.onClient)
	n := w.anyNode()
	read := w.rng.Uint64N(total) < w.faults.reads
	if !read && w.rng.IntN(4) != 0 {
		n = w.leader()
	}
	if n == nil || !n.up() || n.stalledUntil > w.now || w.busy(n) {
		return
	}
	w.asked++
	if read {
		n.read(fmt.Sprintf("r%d", w.asked))
	} else {
		n.propose(fmt.Sprintf("p%d", w.asked))
	}
	w.pump(n)
}

func (w *world) onFaults() {
	w.later(faultStep, w.onFaults)
	if w.healed {
		return
	}
	for _, n := range w.nodes {
		if n.up() {
			w.harm(n)
		}
	}
	w.harmGroup()
}

func (w *world) untilOutageEnds() uint64 { return w.now + 1 + w.rng.Uint64N(w.faults.outage) }

func (w *world) harm(n *node) {
	f := &w.faults
	if w.perStep(f.stall) {
		n.stalledUntil = w.untilOutageEnds()
	}
	if w.perStep(f.slowDisk) {
		n.slowUntil = w.untilOutageEnds()
	}
	if w.perStep(f.snapshot) {
		n.takeSnapshot(f.trailing)
	}
	if w.perStep(f.campaign) && !w.busy(n) {
		// Two at once often stand in the same term.
		for _, candidate := range []*node{n, w.anyNode()} {
			if candidate.up() && !w.busy(candidate) && candidate.stalledUntil <= w.now {
				candidate.core.Campaign()
				candidate.traceRole()
				w.pump(candidate)
			}
		}
		if !n.up() {
			return
		}
	}
	if w.perStep(f.unreachable) && !w.busy(n) {
		n.core.ReportUnreachable(w.anyNode().id())
	}
	if w.perStep(f.isolation) {
		for i := range w.cut {
			w.cut[n.id()-1][i], w.cut[i][n.id()-1] = true, true
		}
		w.strand(n)
		w.later(w.rng.Uint64N(f.outage), w.healNetwork)
	}
	if w.perStep(f.oneWayCut) {
		w.cut[n.id()-1][w.anyNode().id()-1] = true
		w.later(w.rng.Uint64N(f.outage), w.healNetwork)
	}
	if w.perStep(f.crash) {
		if w.happens(f.crashWhileWriting) {
			n.crashWhenWriting = true
		} else {
			w.crash(n)
			return
		}
	}
	w.pump(n)
}

// strand asks a leader that was just cut off for commands, which others will overwrite, and for reads until
// it must have noticed.
func (w *world) strand(n *node) {
	if n == nil || !n.leads() || w.busy(n) || n.stalledUntil > w.now || w.rng.IntN(2) == 0 {
		return
	}
	for range w.rng.IntN(6) {
		w.asked++
		n.propose(fmt.Sprintf("p%d", w.asked))
	}
	for range w.rng.IntN(16) {
		w.ownLater(n, w.rng.Uint64N(2*w.faults.electionTicks*tickMicros), func(n *node) {
			if !w.busy(n) {
				w.asked++
				n.read(fmt.Sprintf("r%d", w.asked))
				w.pump(n)
			}
		})
	}
	w.pump(n)
}

// harmLeader ends a leadership that has hardly begun.
func (w *world) harmLeader(m *member) {
	if w.healed || !w.happens(w.faults.harmLeader) {
		return
	}
	w.ownLater(w.node(m.id()), w.rng.Uint64N(5*w.faults.delay), func(n *node) {
		if w.healed {
			return
		}
		if w.rng.IntN(2) == 0 {
			w.crash(n)
			return
		}
		for i := range w.cut {
			cut := w.rng.IntN(3) != 0
			w.cut[n.id()-1][i], w.cut[i][n.id()-1] = cut, cut
		}
		w.strand(n)
		w.later(w.rng.Uint64N(w.faults.outage), w.healNetwork)
	})
}

func (w *world) harmGroup() {
	if w.perStep(w.faults.partition) {
		sides := w.rng.Uint64()
		for i := range w.cut {
			for k := range w.cut {
				w.cut[i][k] = (sides>>i^sides>>k)&1 != 0
			}
		}
		w.strand(w.leader())
		w.later(w.rng.Uint64N(w.faults.outage), w.healNetwork)
	}
	if w.perStep(w.faults.membership) {
		w.changeMembers()
		if w.rng.IntN(3) == 0 {
			w.changeMembers() // the one before is hardly done
		}
	}
	if w.perStep(w.faults.transfer) {
		w.transfer()
	}
}

// transfer asks the leader, or now and then a follower of etcd's, which passes the wish on.
func (w *world) transfer() {
	n := w.leader()
	if w.rng.IntN(4) == 0 {
		n = w.anyNode()
	}
	if n == nil || !n.up() || n.stalledUntil > w.now || w.busy(n) {
		return
	}
	to := w.anyNode().id()
	w.trace.add("%v is asked to hand leadership to %d", n, to)
	n.core.TransferLeader(to)
	w.pump(n)
}

// changeMembers asks the leader for one change that leaves a voter; a new member comes only now and
// then, since it stays for good.
func (w *world) changeMembers() {
	n := w.leader()
	if n == nil || n.stalledUntil > w.now || w.busy(n) {
		return
	}
	configuration := n.core.Configuration()
	voters, learners := slices.Clone(configuration.Voters), slices.Clone(configuration.Learners)
	slices.Sort(voters)
	slices.Sort(learners)
	var change pb.ConfChange
	switch choice := w.rng.IntN(4); {
	case choice == 0 && len(w.nodes) < mostMembers:
		change.Type, change.NodeID = pb.ConfChangeAddLearnerNode, uint64(len(w.nodes)+1)
		if w.rng.IntN(3) == 0 {
			change.Type = pb.ConfChangeAddNode
		}
		if n.proposeConfChange(change) {
			w.addMember(w.newKind(), pb.ConfState{})
		}
		w.pump(n)
		return
	case choice == 1 && len(learners) > 0:
		change.Type, change.NodeID = pb.ConfChangeAddNode, learners[w.rng.IntN(len(learners))]
	case choice == 2 && len(voters) > 1:
		change.Type, change.NodeID = pb.ConfChangeAddLearnerNode, voters[w.rng.IntN(len(voters))]
	case choice == 3 && len(learners) > 0 && w.rng.IntN(2) == 0:
		change.Type, change.NodeID = pb.ConfChangeRemoveNode, learners[w.rng.IntN(len(learners))]
	case choice == 3 && len(voters) > 1:
		change.Type, change.NodeID = pb.ConfChangeRemoveNode, voters[w.rng.IntN(len(voters))]
	default:
		return
	}
	// Of two voters one of etcd's does not go: if it leads then it steps down with the longest log, votes for
	// nobody and does not stand, while the other has not heard that it needs no vote but its own (README.md).
	if len(voters) == 2 && change.Type != pb.ConfChangeAddNode && slices.Contains(voters, change.NodeID) &&
		w.node(change.NodeID).kind == etcd {
		return
	}
	n.proposeConfChange(change)
	w.pump(n)
}

// newKind keeps a group of one kind what it is.
func (w *world) newKind() kind {
	switch w.mix.ours {
	case 0:
		return etcd
	case w.mix.members:
		return ours
	}
	return kind(w.rng.IntN(2))
}

func (w *world) crash(n *node) {
	var c cut
	if n.writing != nil {
		c.hard = w.rng.IntN(3) != 0
		c.snapshot = c.hard && w.rng.IntN(3) != 0
		if c.snapshot {
			c.entries = w.rng.IntN(len(n.writing.entries) + 1)
		}
	}
	w.checker.counts.crashes[n.kind]++
	n.crash(c)
	n.life++
	n.inbox, n.ticksMissed, n.stalledUntil, n.wantsSnapshot = nil, 0, 0, false
	n.transferFrom = 0
	clear(n.snapshotsUnderWay)
	life := n.life
	w.later(1+w.rng.Uint64N(w.faults.downtime), func() {
		if n.life == life {
			w.restart(n)
		}
	})
}

func (w *world) restart(n *node) {
	n.life++
	n.start(w.rng.Uint64())
	w.ownLater(n, w.rng.Uint64N(n.tickMicros), w.onTick)
	if n.up() {
		w.pump(n)
	}
}

func (w *world) healNetwork() {
	w.trace.add("the network is whole again")
	w.cut = [mostMembers][mostMembers]bool{}
}
