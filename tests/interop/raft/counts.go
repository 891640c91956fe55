package main

import (
	"fmt"
	"strings"
)

// counts is what happened in one or many runs: what a run never did, it did not test. Arrays are by kind.
type counts struct {
	runs, events  uint64
	applied       [2]uint64
	acknowledged  [2]uint64
	leaders       [2]uint64 // terms led
	leaderReads   [2]uint64
	followerReads [2]uint64
	refused       [2]uint64 // messages
	crashes       [2]uint64
	confChanges   uint64
	snapshots     [2][2]uint64 // installed; from, to
	transfers     [2][2]uint64 // leaderships that changed hands at once; from, to
	slowest       uint64       // microseconds that a group took to come together
}

func addPair(a *[2]uint64, b [2]uint64) {
	a[0] += b[0]
	a[1] += b[1]
}

func (c *counts) add(o counts) {
	c.runs += o.runs
	c.events += o.events
	addPair(&c.applied, o.applied)
	addPair(&c.acknowledged, o.acknowledged)
	addPair(&c.leaders, o.leaders)
	addPair(&c.leaderReads, o.leaderReads)
	addPair(&c.followerReads, o.followerReads)
	addPair(&c.refused, o.refused)
	addPair(&c.crashes, o.crashes)
	c.confChanges += o.confChanges
	for from := range c.snapshots {
		addPair(&c.snapshots[from], o.snapshots[from])
		addPair(&c.transfers[from], o.transfers[from])
	}
	c.slowest = max(c.slowest, o.slowest)
}

func (c *counts) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d runs, %d events, %d membership changes, at most %.1f s until a healed group came together\n",
		c.runs, c.events, c.confChanges, float64(c.slowest)/1e6)
	fmt.Fprintf(&b, "%-34s %12s %12s\n", "", "ours", "etcd")
	row := func(name string, v [2]uint64) { fmt.Fprintf(&b, "%-34s %12d %12d\n", name, v[ours], v[etcd]) }
	row("entries applied", c.applied)
	row("proposals acknowledged", c.acknowledged)
	row("terms led", c.leaders)
	row("reads served by the leader", c.leaderReads)
	row("reads served by others", c.followerReads)
	row("messages refused", c.refused)
	row("crashes", c.crashes)
	row("snapshots installed, sent by ours", c.snapshots[ours])
	row("snapshots installed, sent by etcd", c.snapshots[etcd])
	row("leadership handed over by ours", c.transfers[ours])
	row("leadership handed over by etcd", c.transfers[etcd])
	return b.String()
}
