package main

import (
	"fmt"
	"slices"
	"strings"
)

const pollMicros = 20_000

// endFaults makes the world a quiet one, with everybody up.
func (w *world) endFaults() {
	if w.checker.violation != "" {
		return
	}
	w.trace.add("nothing fails any more")
	w.faults = calm(w.faults)
	w.healed = true
	w.healNetwork()
	for _, n := range w.nodes {
		n.tickMicros = tickMicros
		n.stalledUntil, n.slowUntil, n.crashWhenWriting = w.now, w.now, false
		if !n.up() {
			w.restart(n)
		}
	}
}

// comeTogether runs the healed world until all who belong to the group have the same and it takes commands
// and reads, or until that has taken too long.
func (w *world) comeTogether() {
	acknowledged, reads := w.progress()
	begun := w.now
	for w.now < begun+healedTime && w.checker.violation == "" {
		w.runUntil(w.now + pollMicros)
		a, r := w.progress()
		if a > acknowledged && r > reads && w.together() {
			w.checker.counts.slowest = w.now - begun
			return
		}
	}
	w.checker.fail("the group does not come together in %d s: %s", healedTime/1_000_000, w.describe())
}

// progress is the number of proposals acknowledged and of reads served so far.
func (w *world) progress() (acknowledged, reads uint64) {
	c := &w.checker.counts
	return c.acknowledged[ours] + c.acknowledged[etcd],
		c.leaderReads[ours] + c.leaderReads[etcd] + c.followerReads[ours] + c.followerReads[etcd]
}

func (w *world) together() bool {
	leader := w.leader()
	if leader == nil || leader.core.Status().commit != leader.applied {
		return false
	}
	configuration := leader.core.Configuration()
	for _, n := range w.nodes {
		if !slices.Contains(configuration.Voters, n.id()) && !slices.Contains(configuration.Learners, n.id()) {
			continue
		}
		if n.applied != leader.applied || n.state != leader.state ||
			!sameConfiguration(n.core.Configuration(), configuration) {
			return false
		}
	}
	return true
}

func (w *world) describe() string {
	var b strings.Builder
	for _, n := range w.nodes {
		if !n.up() {
			fmt.Fprintf(&b, "\n  %v is down", n.member)
			continue
		}
		s := n.core.Status()
		fmt.Fprintf(&b, "\n  %v: %s in term %d, leader %d, applied %d, commit %d, disk from %d to %d, %s", n.member,
			s.role, s.term, s.leader, n.applied, s.commit, n.disk.snapshot.Index, n.disk.last(),
			configurationText(n.core.Configuration()))
	}
	return b.String()
}
