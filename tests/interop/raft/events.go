package main

import "math"

// event is something that will happen; of those at the same time the first made is the first done.
type event struct {
	at, order uint64
	do        func()
}

// eventQueue is a binary heap, the next event on top.
type eventQueue struct {
	heap []event
	made uint64
}

func (q *eventQueue) nextAt() uint64 {
	if len(q.heap) == 0 {
		return math.MaxUint64
	}
	return q.heap[0].at
}

func (q *eventQueue) before(i, j int) bool {
	a, b := &q.heap[i], &q.heap[j]
	return a.at < b.at || a.at == b.at && a.order < b.order
}

func (q *eventQueue) push(at uint64, do func()) {
	q.heap = append(q.heap, event{at, q.made, do})
	q.made++
	for i := len(q.heap) - 1; i > 0; {
		parent := (i - 1) / 2
		if !q.before(i, parent) {
			break
		}
		q.heap[i], q.heap[parent] = q.heap[parent], q.heap[i]
		i = parent
	}
}

func (q *eventQueue) pop() event {
	top := q.heap[0]
	last := len(q.heap) - 1
	q.heap[0] = q.heap[last]
	q.heap[last] = event{}
	q.heap = q.heap[:last]
	for i := 0; ; {
		child := 2*i + 1
		if child >= last {
			break
		}
		if child+1 < last && q.before(child+1, child) {
			child++
		}
		if !q.before(child, i) {
			break
		}
		q.heap[i], q.heap[child] = q.heap[child], q.heap[i]
		i = child
	}
	return top
}
