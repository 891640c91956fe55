package main

/*
#cgo CFLAGS: -I${SRCDIR}
#cgo LDFLAGS: -ldl
#include <dlfcn.h>
#include <stdlib.h>
#include "bridge/raft_interop.h"

typedef const RaftInteropApi* (*ApiFunction)(void);
static const RaftInteropApi* CallApi(void* function) { return ((ApiFunction)function)(); }

// Go cannot call a pointer to a C function.
static RaftInteropNode* ApiRestore(const RaftInteropApi* api, const void* start, size_t size, RaftInteropBytes* error) {
	return api->restore(start, size, error);
}
static void ApiDestroy(const RaftInteropApi* api, RaftInteropNode* node) { api->destroy(node); }
static RaftInteropBytes ApiError(const RaftInteropApi* api, RaftInteropNode* node) { return api->error(node); }
static int ApiTick(const RaftInteropApi* api, RaftInteropNode* node) { return api->tick(node); }
static int ApiStep(const RaftInteropApi* api, RaftInteropNode* node, const void* data, size_t size) {
	return api->step(node, data, size);
}
static int ApiTakeReady(const RaftInteropApi* api, RaftInteropNode* node, RaftInteropBytes* ready) {
	return api->take_ready(node, ready);
}
static int ApiAdvance(const RaftInteropApi* api, RaftInteropNode* node) { return api->advance(node); }
static int ApiPropose(const RaftInteropApi* api, RaftInteropNode* node, const void* data, size_t size) {
	return api->propose(node, data, size);
}
static int ApiProposeConfChange(const RaftInteropApi* api, RaftInteropNode* node, const void* data, size_t size) {
	return api->propose_conf_change(node, data, size);
}
static int ApiReadIndex(const RaftInteropApi* api, RaftInteropNode* node, const void* data, size_t size) {
	return api->read_index(node, data, size);
}
static int ApiTransfer(const RaftInteropApi* api, RaftInteropNode* node, uint64_t to) {
	return api->transfer(node, to);
}
static int ApiCampaign(const RaftInteropApi* api, RaftInteropNode* node) { return api->campaign(node); }
static int ApiCompact(const RaftInteropApi* api, RaftInteropNode* node, uint64_t through, const void* data,
	size_t size) {
	return api->compact(node, through, data, size);
}
static int ApiReportUnreachable(const RaftInteropApi* api, RaftInteropNode* node, uint64_t id) {
	return api->report_unreachable(node, id);
}
static int ApiReportSnapshot(const RaftInteropApi* api, RaftInteropNode* node, uint64_t id, int arrived) {
	return api->report_snapshot(node, id, arrived);
}
static void ApiStatus(const RaftInteropApi* api, RaftInteropNode* node, RaftInteropStatus* status) {
	api->status(node, status);
}
static void ApiConfiguration(const RaftInteropApi* api, RaftInteropNode* node, RaftInteropBytes* configuration) {
	api->configuration(node, configuration);
}
*/
import "C"

import (
	"fmt"
	"unsafe"
)

// api is our core, once loadLibrary has found it.
var api *C.RaftInteropApi

// loadLibrary loads our core; the program uses one library for as long as it runs.
func loadLibrary(path string) error {
	name := C.CString(path)
	defer C.free(unsafe.Pointer(name))
	handle := C.dlopen(name, C.RTLD_NOW|C.RTLD_LOCAL)
	if handle == nil {
		return fmt.Errorf("our core's library does not load: %s (build the target raft_interop, "+
			"or name the library with -lib)", C.GoString(C.dlerror()))
	}
	symbol := C.CString("raft_interop_api")
	defer C.free(unsafe.Pointer(symbol))
	function := C.dlsym(handle, symbol)
	if function == nil {
		return fmt.Errorf("%s is not our core's library: it has no raft_interop_api", path)
	}
	api = C.CallApi(function)
	return nil
}

// nativeNode is one raft::Raft.
type nativeNode struct{ node *C.RaftInteropNode }

func bytesOf(b C.RaftInteropBytes) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(b.data)), int(b.size))
}

func pointer(b []byte) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(b)) }

func restoreNode(start []byte) (nativeNode, error) {
	var text C.RaftInteropBytes
	node := C.ApiRestore(api, pointer(start), C.size_t(len(start)), &text)
	if node == nil {
		return nativeNode{}, fmt.Errorf("our core does not start: %s", bytesOf(text))
	}
	return nativeNode{node}, nil
}

// check turns the outcome of a call into an error, and a failed assertion into a panic.
func (n nativeNode) check(code C.int) error {
	if code == 0 {
		return nil
	}
	text := string(bytesOf(C.ApiError(api, n.node)))
	if code == C.RAFT_INTEROP_BROKEN {
		panic(coreFailure{text})
	}
	return fmt.Errorf("%s", text)
}

// must is for calls that cannot be refused.
func (n nativeNode) must(code C.int) {
	if err := n.check(code); err != nil {
		panic(coreFailure{err.Error()})
	}
}

func (n nativeNode) destroy() { C.ApiDestroy(api, n.node) }
func (n nativeNode) tick()    { n.must(C.ApiTick(api, n.node)) }
func (n nativeNode) advance() { n.must(C.ApiAdvance(api, n.node)) }

func (n nativeNode) step(message []byte) error {
	return n.check(C.ApiStep(api, n.node, pointer(message), C.size_t(len(message))))
}

// takeReady's bytes are good until the next call.
func (n nativeNode) takeReady() []byte {
	var out C.RaftInteropBytes
	n.must(C.ApiTakeReady(api, n.node, &out))
	return bytesOf(out)
}

func (n nativeNode) propose(data []byte) error {
	return n.check(C.ApiPropose(api, n.node, pointer(data), C.size_t(len(data))))
}

func (n nativeNode) proposeConfChange(change []byte) error {
	return n.check(C.ApiProposeConfChange(api, n.node, pointer(change), C.size_t(len(change))))
}

func (n nativeNode) readIndex(context []byte) error {
	return n.check(C.ApiReadIndex(api, n.node, pointer(context), C.size_t(len(context))))
}

func (n nativeNode) transfer(to uint64) error {
	return n.check(C.ApiTransfer(api, n.node, C.uint64_t(to)))
}

func (n nativeNode) campaign() { n.must(C.ApiCampaign(api, n.node)) }

func (n nativeNode) compact(through uint64, snapshot []byte) {
	n.must(C.ApiCompact(api, n.node, C.uint64_t(through), pointer(snapshot), C.size_t(len(snapshot))))
}

func (n nativeNode) reportUnreachable(id uint64) {
	n.must(C.ApiReportUnreachable(api, n.node, C.uint64_t(id)))
}

func (n nativeNode) reportSnapshot(id uint64, arrived bool) {
	value := C.int(0)
	if arrived {
		value = 1
	}
	n.must(C.ApiReportSnapshot(api, n.node, C.uint64_t(id), value))
}

// configuration's bytes are good until the next call.
func (n nativeNode) configuration() []byte {
	var out C.RaftInteropBytes
	C.ApiConfiguration(api, n.node, &out)
	return bytesOf(out)
}

// nativeStatus is RaftInteropStatus.
type nativeStatus struct {
	leader, term, commit, applied, last uint64
	role                                int
	hasReady                            bool
}

func (n nativeNode) status() nativeStatus {
	var s C.RaftInteropStatus
	C.ApiStatus(api, n.node, &s)
	return nativeStatus{
		leader: uint64(s.leader), term: uint64(s.term), commit: uint64(s.commit), applied: uint64(s.applied),
		last: uint64(s.last), role: int(s.role), hasReady: s.has_ready != 0,
	}
}
