package main

import (
	"fmt"
	"io"
	"log"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
)

// trace writes what happens in one world, a line each, if it is on.
type trace struct {
	on  bool
	to  io.Writer
	now *uint64 // microseconds
}

func (t *trace) add(format string, arguments ...any) {
	if !t.on {
		return
	}
	fmt.Fprintf(t.to, "%9.3f  %s\n", float64(*t.now)/1e6, fmt.Sprintf(format, arguments...))
}

func entryText(entry *pb.Entry) string { return raft.DescribeEntry(*entry, describeData) }

func messageText(message *pb.Message) string { return raft.DescribeMessage(*message, describeData) }

func describeData(data []byte) string { return fmt.Sprintf("%q", data) }

func configurationText(configuration pb.ConfState) string {
	return fmt.Sprintf("voters %v, learners %v", configuration.Voters, configuration.Learners)
}

// quietEtcd keeps etcd's core from logging; its assertions still panic.
func quietEtcd() { raft.SetLogger(&raft.DefaultLogger{Logger: log.New(io.Discard, "", 0)}) }
