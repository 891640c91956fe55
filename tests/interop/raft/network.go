package main

import (
	"slices"

	pb "go.etcd.io/raft/v3/raftpb"
)

func (w *world) happens(probability float64) bool {
	return probability > 0 && w.rng.Float64() < probability
}

// node returns nil for an id that no member has.
func (w *world) node(id uint64) *node {
	if id == 0 || id > uint64(len(w.nodes)) {
		return nil
	}
	return w.nodes[id-1]
}

func (w *world) send(from *node, messages []pb.Message) {
	for _, message := range messages {
		w.sendOne(from, message)
		if message.Type == pb.MsgVoteResp && !message.Reject && w.happens(w.faults.crashVoter) {
			w.ownLater(from, 0, w.crash)
		}
	}
}

func (w *world) sendOne(from *node, message pb.Message) {
	to := w.node(message.To)
	if to == nil {
		return
	}
	isSnapshot := message.Type == pb.MsgSnap
	arrives := !w.cut[from.id()-1][to.id()-1] && !w.happens(w.faults.loss)
	if isSnapshot && !w.completeSnapshot(from, to, &message) {
		arrives = false
	}
	if !arrives {
		if w.trace.on {
			w.trace.add("  lost: %s", messageText(&message))
		}
		if isSnapshot {
			w.reportSnapshot(from, to, false)
		} else if w.happens(0.1) {
			w.reportUnreachable(from, to)
		}
		return
	}
	if message.Type == pb.MsgApp && len(message.Entries) > 0 && w.happens(w.faults.shortened) {
		short := message
		short.Entries = message.Entries[:w.rng.IntN(len(message.Entries))]
		w.fly(from, to, short)
	}
	if w.happens(w.faults.duplication) {
		w.fly(from, to, message)
	}
	w.fly(from, to, message)
}

// completeSnapshot does the sending driver's part. Our core names a snapshot and its driver adds the bytes;
// false: they are gone. A member of etcd's takes no snapshot that does not know it as a member, so a driver
// takes a new one and lets its core try again.
func (w *world) completeSnapshot(from, to *node, message *pb.Message) bool {
	snapshot := *message.Snapshot
	meta := &snapshot.Metadata
	if from.kind == ours {
		state, kept := from.disk.stateAt(meta.Index)
		if !kept {
			return false
		}
		snapshot.Data = encodeState(state)
		message.Snapshot = &snapshot
	}
	known := slices.Contains(meta.ConfState.Voters, to.id()) || slices.Contains(meta.ConfState.Learners, to.id())
	if to.kind == etcd && !known {
		from.wantsSnapshot = true
		return false
	}
	return true
}

func (w *world) fly(from, to *node, message pb.Message) {
	delay := 50 + w.rng.Uint64N(w.faults.delay)
	if w.happens(w.faults.reorder) {
		delay += w.rng.Uint64N(w.faults.late)
	}
	w.later(delay, func() { w.deliver(from, to, message) })
}

func (w *world) deliver(from, to *node, message pb.Message) {
	if to.up() && to.stalledUntil > w.now {
		w.events.push(to.stalledUntil, func() { w.deliver(from, to, message) })
		return
	}
	arrives := to.up() && !w.cut[from.id()-1][to.id()-1]
	if message.Type == pb.MsgSnap {
		w.reportSnapshot(from, to, arrives)
	}
	if !arrives {
		return
	}
	take := func() {
		switch message.Type {
		case pb.MsgSnap:
			to.snapshotsUnderWay[message.Snapshot.Metadata.Index] = from.kind
		case pb.MsgTimeoutNow:
			to.transferFrom, to.transferBy = message.Term, from.kind
		}
		to.step(message)
	}
	// Between Ready and Advance etcd's core would apply older membership changes to this snapshot's members.
	if message.Type == pb.MsgSnap && to.kind == etcd && to.writing != nil {
		to.inbox = append(to.inbox, take)
		return
	}
	w.input(to, take)
}

// reportSnapshot tells the sender what became of a snapshot. A leader of etcd's waits for that word for
// ever; ours sends the snapshot again after a while, so it is not always told.
func (w *world) reportSnapshot(from, to *node, arrived bool) {
	if from.kind == ours && w.rng.IntN(2) == 0 {
		return
	}
	w.ownLater(from, 1+w.rng.Uint64N(w.faults.delay), func(n *node) {
		w.input(n, func() { n.core.ReportSnapshot(to.id(), arrived) })
	})
}

func (w *world) reportUnreachable(from, to *node) {
	w.ownLater(from, 1, func(n *node) {
		w.input(n, func() { n.core.ReportUnreachable(to.id()) })
	})
}
