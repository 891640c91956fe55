// Every bound that outside input could otherwise push, with what happens at it. Relations between
// them are asserted at compile time.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace bascule::limits {

inline constexpr size_t kKiB = 1024;
inline constexpr size_t kMiB = 1024 * kKiB;
inline constexpr size_t kGiB = 1024 * kMiB;

// --- messages ---
// Largest NATS payload a stream stores unless configured; larger: error ack TOO_LARGE, plain
// messages are counted.
inline constexpr size_t kDefaultMessageBytes = 1 * kMiB;
// What the setting may be raised to.
inline constexpr size_t kMaxMessageBytes = 64 * kMiB;
// What a stored record may add to its payload (offset, timestamp, subject, reply, headers framing).
inline constexpr size_t kRecordOverheadBytes = 64 * kKiB;
// Headers of one message; more: a publish over gRPC is refused (InvalidArgument), an envelope counts
// as malformed, a NATS message keeps the first ones.
inline constexpr size_t kMaxHeaders = 1024;
inline constexpr size_t kMaxSubjectBytes = 4 * kKiB;

// --- batches ---
// A batch is closed when it would grow past this (one larger record makes a batch of its own).
inline constexpr size_t kBatchTargetBytes = 512 * kKiB;
inline constexpr size_t kBatchMaxRecords = 16 * 1024;
// Decoder's bound: nothing on disk or wire may claim more.
inline constexpr size_t kMaxBatchBytes = kMaxMessageBytes + kRecordOverheadBytes + 4 * kKiB;

// --- ingest ---
// Bytes queued between the bus and one shard. Full: the message is dropped, counted, and reported
// by a gap record.
inline constexpr size_t kIngressQueueBytes = 2 * kMaxMessageBytes;
// nats.c pending limits of one subscription of the egress connection (acks that we wait for, discovery); past
// them it drops messages and says so, which is logged and counted as an error of the connection.
inline constexpr int kNatsPendingMessages = 1'000'000;
inline constexpr int kNatsPendingBytes = 256 * static_cast<int>(kMiB);
// What a NATS server takes in one line of its protocol unless configured (max_control_line); over a
// longer one it drops the connection, and every stream with it. A stream whose subject, partition
// suffix and queue group do not fit is refused, one that exists already does not listen; a message
// to a longer subject is refused, an ack to a longer inbox is not sent.
inline constexpr size_t kNatsControlLineBytes = 4 * kKiB;
// The longest number that a client gives a subscription in such a line.
inline constexpr size_t kNatsSidDigits = 20;

// --- partitions ---
// Publishers of one partition that wait for their ack; at the bound nothing is appended until some
// are answered, and ingest waits in the queue above.
inline constexpr size_t kPartitionInFlightRecords = 1'000'000;
// Committed bytes kept in memory per partition so that readers at the end never touch the disk.
inline constexpr size_t kTailCacheBytes = 2 * kMiB;
// Bytes of all tail caches of one shard; past it the caches of the longest idle partitions are
// emptied.
inline constexpr size_t kTailCacheTotalBytes = 256 * kMiB;
// What one read hands to a subscriber session (more only if a single batch is larger).
inline constexpr size_t kReadChunkBytes = 256 * kKiB;
// Parked readers of one partition; more: Subscribe answers ResourceExhausted.
inline constexpr size_t kMaxSubscribersPerPartition = 10'000;

// --- segments ---
inline constexpr uint64_t kDefaultSegmentBytes = 256 * kMiB;
inline constexpr uint64_t kMinSegmentBytes = 64 * kKiB;
inline constexpr uint64_t kMaxSegmentBytes = 16 * kGiB;
inline constexpr size_t kIndexStrideBytes = 32 * kKiB;
inline constexpr size_t kPreallocateMinBytes = 64 * kKiB;
inline constexpr size_t kPreallocateMaxBytes = 8 * kMiB;
// Logs whose flushes are larger get no preallocated blocks.
inline constexpr size_t kPreallocateFlushBytes = 16 * kKiB;
// How often an open log looks whether its files are still there. (A flush looks at its own each
// time.)
inline constexpr std::chrono::seconds kLogFilesCheckPeriod{30};
// A newest timestamp this far ahead of the clock is worth a word; what clocks are corrected by all
// the time is less.
inline constexpr std::chrono::seconds kClockStepNoticed{2};

// --- recovery points ---
inline constexpr std::chrono::milliseconds kRecoveryPointPeriod{5000};
inline constexpr std::chrono::milliseconds kRecoveryPointIdle{50};

// --- streams ---
inline constexpr size_t kMaxStreamNameBytes = 255;
inline constexpr int32_t kMaxPartitionsPerStream = 1000;
inline constexpr size_t kMaxPartitionsPerBroker = 100'000;

// Streams of one cluster, and the bytes that they may come to in a metadata snapshot; more: creating one
// is refused (ResourceExhausted).
inline constexpr size_t kMaxStreamsPerCluster = 200'000;
inline constexpr size_t kMaxStreamsBytes = 128 * kMiB;

// --- gRPC ---
inline constexpr size_t kDefaultRequestBytes = 4 * kMiB;
// Publishes of one PublishAsync session without an ack yet; past it the session stops reading
// requests.
inline constexpr size_t kMaxAsyncInFlight = 64 * 1024;
inline constexpr size_t kMaxAsyncInFlightBytes = 16 * kMiB;
// Responses of one PublishAsync session that may wait for a client that does not read them; past it the
// session ends (Unavailable). More than the window, because refusals come beside the acks.
inline constexpr size_t kMaxAsyncOutboxResponses = 4 * kMaxAsyncInFlight;
inline constexpr size_t kMaxAsyncOutboxBytes = 64 * kMiB;
inline constexpr std::chrono::seconds kAckDrainTimeout{5};
inline constexpr std::chrono::seconds kDefaultMetadataTimeout{5};

// Connections of clients, unless configured and as far as the descriptors go; more are closed at
// once. By default one address has at most half of them.
inline constexpr size_t kDefaultApiConnections = 10'000;
// Streams that one connection may have open; a client waits for one to end before it opens more.
inline constexpr size_t kDefaultStreamsPerConnection = 2'000;
// Likewise from one address, over all of its connections; more: the one that has most is ended. More
// than the subscriptions below, since other calls come beside them.
inline constexpr size_t kDefaultStreamsPerAddress = 8'000;
// What an open call takes of gRPC beside its quota: measured 13 KiB. All together may take as much as
// the quota again.
inline constexpr size_t kStreamBytes = 13 * kKiB;
// Subscriptions from one address, so that one client cannot have all of a partition's; more:
// ResourceExhausted.
inline constexpr size_t kDefaultSubscriptionsPerAddress = 5'000;
// What gRPC may hold for clients: streams, what they send, what waits to be sent. Past it gRPC reads
// less, then cancels streams.
inline constexpr size_t kDefaultApiMemoryBytes = 512 * kMiB;
// A connection without a stream is closed after this.
inline constexpr std::chrono::minutes kDefaultApiIdle{10};
// Bytes of one request's headers; more: the stream is refused.
inline constexpr size_t kMaxHeaderListBytes = 16 * kKiB;

// --- descriptors ---
// For what is open always or for a moment: NATS, the metadata store, event queues, the pools' files.
inline constexpr size_t kReservedDescriptors = 192;
// The active segment's file.
inline constexpr size_t kDescriptorsPerPartition = 1;
// A connection is looked at this often, when it has sent so much meanwhile. With more streams open
// than it may, or more of them dropped at each look than this (as many at once as may be open), it
// is ended, and its address opens no others for a while.
inline constexpr std::chrono::milliseconds kStreamLook{50};
inline constexpr size_t kStreamLookBytes = 8 * kKiB;
inline constexpr size_t kStreamsDroppedPerLook = 100;
// Likewise when it sends more than its open streams' messages can be and so much beside (what gRPC's
// windows let come unread), without a message or a stream.
inline constexpr size_t kStreamIdleBytes = 16 * kMiB;
inline constexpr std::chrono::milliseconds kConnectionBarred{5000};
// Looked at this often: which connections are gone.
inline constexpr std::chrono::milliseconds kConnectionSweep{1000};

// --- broker to broker ---
// Streams of peers that have not said hello yet; more are refused (ResourceExhausted). Each has so
// long for it.
inline constexpr size_t kPeerHandshakes = 64;
inline constexpr std::chrono::seconds kPeerHandshakeTimeout{5};
// The body of one message, call, answer or piece of a bulk body; larger ones are refused by the
// sender, and end the stream at the receiver.
inline constexpr size_t kPeerFrameBytes = 1 * kMiB;
// What a frame adds to its body, the header of a bulk body included.
inline constexpr size_t kPeerFrameOverheadBytes = 64 * kKiB;
inline constexpr size_t kPeerBulkHeaderBytes = 60 * kKiB;
// The first frame of a stream, and each text in it.
inline constexpr size_t kPeerHelloBytes = 4 * kKiB;
inline constexpr size_t kPeerNameBytes = 512;
// A server id; a longer one is refused, by the configuration and for certificates.
inline constexpr size_t kServerIdBytes = 64;
// A host in a setting, the most that DNS has; longer: the configuration is refused.
inline constexpr size_t kHostBytes = 253;
// The text of a status that an answer carries; what is longer is cut.
inline constexpr size_t kPeerStatusTextBytes = 4 * kKiB;
// Waiting to be written to one peer; past it the oldest one-way messages are dropped, and calls are
// Unavailable. Answers waiting for a peer that does not read: nothing more is read from it.
inline constexpr size_t kPeerQueueBytes = 8 * kMiB;
// One-way messages that waited longer for a connection are dropped.
inline constexpr std::chrono::milliseconds kPeerMessageAge{1000};
// Unanswered calls to or from one peer; more: Unavailable here, ResourceExhausted there.
inline constexpr size_t kPeerCalls = 4096;
// One bulk body. Also what one peer may send without being answered: then it is not read from.
inline constexpr size_t kPeerBulkBytes = 256 * kMiB;
// Bulk bodies waiting for one peer, or for its answer; more: Unavailable.
inline constexpr size_t kPeerBulkBodies = 64;
// The bulk connection ends when nothing was sent for so long.
inline constexpr std::chrono::seconds kPeerBulkIdle{30};
// An orderly stop waits so long for others to take over what it led, and to know that it is gone.
inline constexpr std::chrono::milliseconds kHandOverTimeout{3000};
inline constexpr std::chrono::milliseconds kRetireTimeout{1000};
// A frame of the replication channel; no batch is added to one that holds so much already.
inline constexpr size_t kReplicaFrameBytes = kMaxBatchBytes + 2 * kPeerFrameBytes;
inline constexpr size_t kReplicaFrameTargetBytes = 1 * kMiB;
// The high watermark goes to followers with the next batches; where none come, by itself after so long.
inline constexpr std::chrono::milliseconds kHighWatermarkAlone{5};
// While a partition is published to, a follower that catches up is read for at this rate, or at twice that of what is
// published, if that is more: it is not to slow what is acknowledged meanwhile. In bytes per second.
inline constexpr size_t kCatchUpBesideLoad = 48 * kMiB;
// What waits for one line to a peer; leaders hold on to the rest of their logs.
inline constexpr size_t kReplicaLinkBytes = 4 * kMiB;
// Of one line from a peer: what was read and is not dealt with yet.
inline constexpr size_t kReplicaCreditBytes = 8 * kMiB;
// Introductions: one request or answer, and how many are answered (ResourceExhausted) or asked
// (Unavailable) at once.
inline constexpr size_t kPeerIntroductionBytes = 64 * kKiB;
inline constexpr size_t kPeerIntroductions = 64;
// Waiting before a peer is dialled again: the first time, doubled each time, and its cap.
inline constexpr std::chrono::milliseconds kPeerBackoffMin{50};
inline constexpr std::chrono::milliseconds kPeerBackoffMax{1000};

// --- metadata store ---
// Data of one log entry; a larger one is refused (InvalidArgument), and none is read from the disk.
inline constexpr size_t kMaxRaftEntryBytes = 16 * kMiB;
// A command as it is proposed; a larger one is refused (ResourceExhausted): it could not be sent.
inline constexpr size_t kMaxRaftCommandBytes = 768 * kKiB;
// Entries of one append, kRaftEntryOverheadBytes for each counted in; one entry always goes.
inline constexpr size_t kMaxRaftAppendBytes = 512 * kKiB;
inline constexpr size_t kRaftEntryOverheadBytes = 64;
// A snapshot as it is kept; a larger one is refused (InvalidArgument), the log goes on growing
// instead: it could be sent to nobody.
inline constexpr size_t kMaxRaftSnapshotBytes = 256 * kMiB;
// A file of the store; a larger one is not read.
inline constexpr size_t kMaxRaftFileBytes = 1 * kGiB;
inline constexpr size_t kMaxClusterIdBytes = 255;
// Members of the metadata group, in a snapshot; one that claims more is damaged.
inline constexpr size_t kMaxRaftMembers = 4096;
// A log segment grows by this much at a time, written ahead with zeros.
inline constexpr size_t kRaftPreallocateBytes = 1 * kMiB;

// --- metadata group ---
// Addresses that a broker asks while it looks for its cluster; further ones are not asked.
inline constexpr size_t kJoinAddresses = 256;
// Messages of peers that are not stepped yet; more are dropped (Raft sends them again).
inline constexpr size_t kRaftInboxBytes = 512 * kMiB;

// --- log lines ---
// Lines that have not left the process; more are dropped, counted, and a line says so.
inline constexpr size_t kLogQueueBytes = 4 * kMiB;
// Lines wait and nothing was taken for so long: the broker is degraded.
inline constexpr std::chrono::milliseconds kLogStuckAfter{5000};
// What waits at the end of the process has so long to leave; likewise before an abort, and the text
// of the abort itself.
inline constexpr std::chrono::milliseconds kLogFlushTimeout{1000};
inline constexpr std::chrono::milliseconds kLastWordsTimeout{1000};

// --- executors ---
// Tasks waiting on one shard from foreign threads; completions are not counted (they have reserved
// places).
inline constexpr size_t kExecutorQueueTasks = 64 * 1024;
inline constexpr int kDiskPoolThreads = 8;
// A shard that syncs a log itself, because it has nothing else to do, leaves syncs to the pool for the second
// time after one that took longer than the first: a slow disk must not stop it.
inline constexpr std::chrono::milliseconds kSyncInPlaceMax{2};
inline constexpr std::chrono::milliseconds kSyncWaryFor{500};

// --- metadata requests ---
// One request between brokers; larger: InvalidArgument.
inline constexpr size_t kMetaRequestBytes = 256 * kKiB;
// Partitions whose in-sync replicas change by one request.
inline constexpr size_t kIsrChangesPerRequest = 1000;
// Requests that one broker has not been answered yet; more: ResourceExhausted.
inline constexpr size_t kMetaRequestsInFlight = 1024;
// Requests that wait on the metadata leader; more: the asker tries again.
inline constexpr size_t kMetaRequestsWaiting = 64 * 1024;
// Partitions whose loss a data directory owes the metadata group one by one; more: all of the broker's
// count as lost.
inline constexpr size_t kOwedPartitions = 128;
// How often a data directory shows that it is no older copy. A copy that is younger is not noticed.
inline constexpr std::chrono::seconds kGenerationPeriod{30};
// How far the directory has come is noted there after so long, if it is news; the generation each sixth time.
inline constexpr std::chrono::seconds kPositionsPeriod{5};
static_assert(kGenerationPeriod % kPositionsPeriod == std::chrono::seconds(0));
// A heartbeat; a larger one is not read. What it says of a broker's trouble; more is cut.
inline constexpr size_t kHeartbeatBytes = 2 * kKiB;
inline constexpr size_t kTroubleBytes = 512;
// Brokers of one cluster; more: a join is refused.
inline constexpr size_t kClusterMembers = 128;
// Connections between this broker and others, both ways: control, bulk and two of replicas; one that
// is just being replaced counts for a bulk connection or one that catches up, which are rarely there.
inline constexpr size_t kPeerConnections = 8 * kClusterMembers;

static_assert(kDefaultSubscriptionsPerAddress < kMaxSubscribersPerPartition,
              "one address leaves room for others");
static_assert(kMaxBatchBytes > kMaxMessageBytes + kRecordOverheadBytes,
              "a batch carries the largest record");
static_assert(kBatchTargetBytes <= kMaxBatchBytes);
static_assert(kPeerBulkHeaderBytes + kPeerHelloBytes <= kPeerFrameOverheadBytes);
static_assert(kPeerIntroductionBytes <= kPeerFrameBytes);
static_assert(kServerIdBytes <= kPeerNameBytes);
static_assert(kHostBytes + sizeof("[]:65535") <= kPeerNameBytes,
              "a host with its port is a peer address");
static_assert(kPeerQueueBytes > kPeerFrameBytes, "the queue holds at least one largest message");
static_assert(kMaxRaftSnapshotBytes <= kPeerBulkBytes, "a snapshot that is kept can be sent");
static_assert(kRaftInboxBytes >= 2 * kPeerBulkBytes, "a snapshot has room beside messages");
static_assert(kMaxRaftCommandBytes + 4 * kRaftEntryOverheadBytes <= kPeerFrameBytes,
              "an append of one command is one message");
static_assert(kMaxRaftAppendBytes + 4 * kRaftEntryOverheadBytes <= kPeerFrameBytes);
static_assert(kMaxRaftCommandBytes <= kMaxRaftEntryBytes, "what is proposed can be stored");
static_assert(kMetaRequestBytes < kMaxRaftCommandBytes, "a request that is taken can be proposed");
static_assert(kMetaRequestBytes + kIsrChangesPerRequest * (kServerIdBytes + 4) <
                  kMaxRaftCommandBytes,
              "with the leader named in each, gathered ISR changes can be proposed");
static_assert(kMetaRequestBytes <= kPeerFrameBytes);
static_assert(kMaxPartitionsPerStream * (kPeerNameBytes + kRaftEntryOverheadBytes) +
                      2 * kMaxSubjectBytes + kMaxStreamNameBytes + 4 * kKiB <=
                  kMaxRaftCommandBytes,
              "the largest stream with one replica of each partition can be created");
static_assert(kClusterMembers <= kMaxRaftMembers);
static_assert(kMaxRaftSnapshotBytes + kMaxRaftMembers * 8 + kKiB <= kMaxRaftFileBytes);
static_assert(kPeerNameBytes + kTroubleBytes + 64 <= kHeartbeatBytes);
static_assert(kMinSegmentBytes >= kPreallocateMinBytes);
static_assert(kPreallocateMinBytes <= kPreallocateMaxBytes);
static_assert(kIngressQueueBytes >= kMaxMessageBytes,
              "the queue holds at least one largest message");

}  // namespace bascule::limits
