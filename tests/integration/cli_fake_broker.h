// What the tests of the command line stand on: a broker in memory that speaks the public API over a
// real port, and the real `bascule` program run against it. The broker keeps to the wire contract
// (first empty message, end statuses, texts) and knows nothing of NATS, disks or replicas.
#pragma once

#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <deque>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "api.grpc.pb.h"
#include "bascule/v1/bascule.grpc.pb.h"
#include "tests/support/child_process.h"

namespace bascule::testing {

class FakeBroker : public proto::API::Service, public v1::Bascule::Service {
 public:
  struct Stream {
    v1::Stream description;
    std::vector<std::vector<proto::Message>> partitions;
  };

  FakeBroker() {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_);
    builder.RegisterService(static_cast<proto::API::Service*>(this));
    builder.RegisterService(static_cast<v1::Bascule::Service*>(this));
    server_ = builder.BuildAndStart();
  }
  ~FakeBroker() override { Stop(); }

  void Stop() {
    stopping_ = true;
    changed_.notify_all();
    server_->Shutdown(std::chrono::system_clock::now());
    server_->Wait();
  }
  int port() const { return port_; }
  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }

  // --- what the world does to it ---
  Stream& Add(const std::string& name, const std::string& subject, int partitions = 1) {
    std::unique_lock lock(mutex_);
    Stream& stream = streams_[name];
    stream.description.set_name(name);
    stream.description.set_subject(subject);
    stream.description.set_id(streams_.size());
    stream.description.set_created(kEpoch);
    stream.description.set_replication_factor(1);
    v1::StreamSettings& settings = *stream.description.mutable_settings();
    settings.set_retention_max_age_ms(7 * 86'400'000LL);
    settings.set_cleaner_interval_ms(300'000);
    settings.set_segment_max_bytes(256 << 20);
    settings.set_segment_max_age_ms(7 * 86'400'000LL);
    settings.set_durability(v1::DURABILITY_FSYNC);
    settings.set_reply_acks(v1::REPLY_ACKS_OFF);
    settings.set_leader_acks(v1::LEADER_ACKS_LOCAL);
    stream.partitions.resize(static_cast<size_t>(partitions));
    for (int i = 0; i < partitions; ++i) {
      v1::Partition& partition = *stream.description.add_partitions();
      partition.set_id(i);
      partition.set_leader("b1");
      partition.add_replicas("b1");
      partition.add_isr("b1");
      partition.set_segments(1);
    }
    return stream;
  }
  int64_t Append(const std::string& name, const std::string& value, const std::string& key = "",
                 int64_t timestamp = 0, int partition = 0, const std::string& subject = "") {
    std::unique_lock lock(mutex_);
    Stream& stream = streams_.at(name);
    auto& log = stream.partitions.at(static_cast<size_t>(partition));
    proto::Message message;
    message.set_offset(static_cast<int64_t>(log.size()));
    message.set_timestamp(timestamp != 0 ? timestamp : kEpoch + message.offset() * 1'000'000'000);
    message.set_stream(name);
    message.set_partition(partition);
    message.set_subject(subject.empty() ? stream.description.subject() : subject);
    message.set_key(key);
    message.set_value(value);
    (*message.mutable_headers())["subject"] = message.subject();
    (*message.mutable_headers())["reply"] = "";
    log.push_back(message);
    changed_.notify_all();
    return message.offset();
  }
  Stream& at(const std::string& name) { return streams_.at(name); }
  std::vector<proto::PublishRequest> Published() {
    std::unique_lock lock(mutex_);
    return published_;
  }
  void Edit(const std::function<void()>& change) {
    std::unique_lock lock(mutex_);
    change();
  }
  size_t WaitForSubscribers(int n) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return subscribers_ >= n; });
    return static_cast<size_t>(subscribers_);
  }

  // --- faults, set before the call they are for ---
  std::atomic<bool> silent{false};       // records, but never acks
  std::string ack_stream;                // set before the first call: acks come from this stream
  std::atomic<int64_t> refuse_from{-1};  // PublishAsync: READONLY from this message on
  std::atomic<bool> ignores_subscribe{false};  // never confirms a subscription
  std::atomic<bool> follows{false};            // refuses subscriptions, as no leader
  std::atomic<int64_t> end_after{-1};          // Subscribe: `end_with` before this message
  grpc::Status end_with;
  std::atomic<int64_t> hang_up_after{-1};  // PublishAsync: ends with `hang_up`, acks outstanding
  grpc::Status hang_up;
  grpc::Status list_answer;                      // to ListStreams and Publish
  std::atomic<int> lists{0};                     // how often ListStreams was asked
  proto::Ack::Error ack_error = proto::Ack::OK;  // PublishToSubject
  std::vector<proto::Broker> brokers;            // beside the own one; first = who answers
  v1::CreateStreamRequest last_create;
  v1::UpdateStreamRequest last_update;
  v1::GetClusterStatusResponse cluster;
  std::deque<v1::ListGapsResponse> gap_pages;  // ListGaps: one each; then none are left
  grpc::Status gaps_answer;                    // and this is said
  std::vector<v1::ListGapsRequest> gap_requests;
  grpc::Status create_answer;
  grpc::Status refuse_subscribe;  // to Subscribe, after so many others
  int refuse_after = 0;
  std::function<void()> on_subscribe;  // before Subscribe answers
  grpc::Status cluster_answer;         // to every call about the cluster
  std::string last_cluster_change;     // "remove b3 force"
  proto::SubscribeRequest last_subscribe;

  static constexpr int64_t kEpoch = 1'700'000'000'000'000'000;  // 2023-11-14T22:13:20Z

  // --- proto.API ---
  grpc::Status FetchMetadata(grpc::ServerContext*, const proto::FetchMetadataRequest* request,
                             proto::FetchMetadataResponse* response) override {
    std::unique_lock lock(mutex_);
    if (brokers.empty()) {
      proto::Broker& own = *response->add_brokers();
      own.set_id("b1");
      own.set_host("127.0.0.1");
      own.set_port(port_);
    }
    for (const auto& broker : brokers) *response->add_brokers() = broker;
    std::vector<std::string> names(request->streams().begin(), request->streams().end());
    if (names.empty()) {
      for (const auto& [name, stream] : streams_) names.push_back(name);
    }
    for (const auto& name : names) {
      proto::StreamMetadata& out = *response->add_streammetadata();
      out.set_name(name);
      const auto found = streams_.find(name);
      if (found == streams_.end()) {
        out.set_error(proto::StreamMetadata::UNKNOWN_STREAM);
        continue;
      }
      out.set_subject(found->second.description.subject());
      for (const v1::Partition& p : found->second.description.partitions()) {
        proto::PartitionMetadata& partition = (*out.mutable_partitions())[p.id()];
        partition.set_id(p.id());
        partition.set_leader(p.leader());
        const auto end =
            static_cast<int64_t>(found->second.partitions[static_cast<size_t>(p.id())].size());
        partition.set_highwatermark(end - 1);
        partition.set_newestoffset(end - 1);
        partition.set_paused(paused.count(name) > 0);
      }
    }
    return grpc::Status::OK;
  }
  std::map<std::string, bool> paused;

  grpc::Status DeleteStream(grpc::ServerContext*, const proto::DeleteStreamRequest* request,
                            proto::DeleteStreamResponse*) override {
    std::unique_lock lock(mutex_);
    if (streams_.erase(request->name()) == 0)
      return {grpc::StatusCode::NOT_FOUND, "stream does not exist"};
    return grpc::Status::OK;
  }

  grpc::Status Subscribe(grpc::ServerContext* context, const proto::SubscribeRequest* request,
                         grpc::ServerWriter<proto::Message>* writer) override {
    if (on_subscribe) on_subscribe();
    std::unique_lock lock(mutex_);
    last_subscribe = *request;
    const auto found = streams_.find(request->stream());
    if (found == streams_.end()) return {grpc::StatusCode::NOT_FOUND, "No such partition"};
    if (follows) return {grpc::StatusCode::FAILED_PRECONDITION, "Server not partition leader"};
    if (!refuse_subscribe.ok() && subscribers_ >= refuse_after) return refuse_subscribe;
    auto& log = found->second.partitions.at(static_cast<size_t>(request->partition()));
    while (ignores_subscribe && !stopping_ && !context->IsCancelled()) WaitABit(lock);
    const auto log_end = static_cast<int64_t>(log.size());
    int64_t next = StartOf(*request, log);
    if (request->reverse() && log_end == 0) {
      return {grpc::StatusCode::INTERNAL, "Failed to create stream reader: segment not found"};
    }
    int64_t stop = std::numeric_limits<int64_t>::max();
    if (request->stopposition() == proto::STOP_OFFSET) stop = request->stopoffset();
    if (request->stopposition() == proto::STOP_LATEST) {
      if (log_end == 0) return {grpc::StatusCode::RESOURCE_EXHAUSTED, "Stream is empty"};
      stop = log_end - 1;
    }
    if (stop < next)
      return {grpc::StatusCode::INVALID_ARGUMENT, "Stop offset is before start offset"};
    ++subscribers_;
    changed_.notify_all();
    writer->Write(proto::Message());
    for (; request->reverse(); --next) {
      if (next < 0) return {grpc::StatusCode::UNKNOWN, "EOF"};
      if (!writer->Write(log[static_cast<size_t>(next)])) return grpc::Status::OK;
    }
    while (!stopping_ && !context->IsCancelled()) {
      if (end_after >= 0 && next >= end_after) return end_with;
      if (next >= static_cast<int64_t>(log.size())) {
        WaitABit(lock);
        continue;
      }
      const proto::Message message = log[static_cast<size_t>(next++)];
      lock.unlock();
      const bool written = writer->Write(message);
      lock.lock();
      if (!written) return grpc::Status::OK;
      if (message.offset() >= stop)
        return {grpc::StatusCode::RESOURCE_EXHAUSTED, "Stop offset reached"};
    }
    return stopping_ ? grpc::Status(grpc::StatusCode::UNAVAILABLE, "stopping") : grpc::Status::OK;
  }

  grpc::Status Publish(grpc::ServerContext* context, const proto::PublishRequest* request,
                       proto::PublishResponse* response) override {
    if (silent) {
      std::unique_lock lock(mutex_);
      while (!context->IsCancelled() && !stopping_) WaitABit(lock);
      return {grpc::StatusCode::DEADLINE_EXCEEDED, ""};
    }
    if (!list_answer.ok()) return list_answer;
    const grpc::Status status = Store(*request, response->mutable_ack());
    if (!status.ok() || request->ackpolicy() == proto::NONE) response->clear_ack();
    return status;
  }

  grpc::Status PublishToSubject(grpc::ServerContext* context,
                                const proto::PublishToSubjectRequest* request,
                                proto::PublishToSubjectResponse* response) override {
    std::string stream;
    {
      std::unique_lock lock(mutex_);
      for (const auto& [name, s] : streams_) {
        if (s.description.subject() == request->subject()) stream = name;
      }
      while (stream.empty() && !context->IsCancelled() && !stopping_) WaitABit(lock);
      if (stream.empty()) return {grpc::StatusCode::DEADLINE_EXCEEDED, ""};
    }
    proto::PublishRequest same;
    same.set_stream(stream);
    same.set_value(request->value());
    same.set_correlationid(request->correlationid());
    const grpc::Status status = Store(same, response->mutable_ack());
    response->mutable_ack()->set_ackerror(ack_error);
    return status;
  }

  grpc::Status PublishAsync(
      grpc::ServerContext*,
      grpc::ServerReaderWriter<proto::PublishResponse, proto::PublishRequest>* stream) override {
    proto::PublishRequest request;
    for (int64_t n = 0; stream->Read(&request); ++n) {
      if (hang_up_after >= 0 && n >= hang_up_after) return hang_up;
      proto::PublishResponse response;
      grpc::Status status = Store(request, response.mutable_ack());
      if (refuse_from >= 0 && n >= refuse_from)
        status = {grpc::StatusCode::FAILED_PRECONDITION, "readonly partition: 0"};
      response.set_correlationid(request.correlationid());
      if (!status.ok()) {
        response.mutable_ack()->Clear();
        const bool missing = status.error_code() == grpc::StatusCode::NOT_FOUND;
        response.mutable_asyncerror()->set_code(missing ? proto::PublishAsyncError::NOT_FOUND
                                                        : proto::PublishAsyncError::READONLY);
        response.mutable_asyncerror()->set_message(status.error_message());
      } else if (request.ackpolicy() == proto::NONE || silent) {
        continue;
      }
      stream->Write(response);
    }
    return grpc::Status::OK;
  }

  // --- bascule.v1 ---
  grpc::Status CreateStream(grpc::ServerContext*, const v1::CreateStreamRequest* request,
                            v1::CreateStreamResponse* response) override {
    if (!create_answer.ok()) return create_answer;
    bool exists = false;
    Edit([&] {
      last_create = *request;
      exists = streams_.count(request->name()) > 0;
    });
    if (exists && !request->if_absent())
      return {grpc::StatusCode::ALREADY_EXISTS, "stream already exists"};
    response->set_created(!exists);
    if (exists) {
      if (request->subject() != at(request->name()).description.subject()) {
        response->add_differences("subject: " + at(request->name()).description.subject() +
                                  " here, " + request->subject() + " asked");
      }
    } else {
      Add(request->name(), request->subject(), request->partitions());
    }
    return grpc::Status::OK;
  }
  grpc::Status ListStreams(grpc::ServerContext*, const v1::ListStreamsRequest* request,
                           v1::ListStreamsResponse* response) override {
    ++lists;
    if (!list_answer.ok()) return list_answer;
    std::unique_lock lock(mutex_);
    for (const auto& name : request->names()) {
      if (streams_.count(name) == 0)
        return {grpc::StatusCode::NOT_FOUND, "no such stream: " + name};
    }
    for (auto& [name, stream] : streams_) {
      if (request->names_size() > 0 && request->names(0) != name) continue;
      for (auto& p : *stream.description.mutable_partitions()) {
        const auto& log = stream.partitions[static_cast<size_t>(p.id())];
        const auto end = static_cast<int64_t>(log.size());
        p.set_oldest_offset(log.empty() ? -1 : 0);
        p.set_newest_offset(end - 1);
        p.set_high_watermark(end - 1);
        p.set_flushed_offset(end - 1);
        uint64_t bytes = 0;
        for (const auto& message : log) bytes += message.ByteSizeLong();
        p.set_bytes(bytes);
        p.set_first_received(log.empty() ? 0 : log.front().timestamp());
        p.set_latest_received(log.empty() ? 0 : log.back().timestamp());
      }
      *response->add_streams() = stream.description;
    }
    return grpc::Status::OK;
  }
  grpc::Status ListGaps(grpc::ServerContext*, const v1::ListGapsRequest* request,
                        v1::ListGapsResponse* response) override {
    std::unique_lock lock(mutex_);
    gap_requests.push_back(*request);
    response->set_next_offset(-1);
    if (gap_pages.empty()) return gaps_answer;
    *response = gap_pages.front();
    gap_pages.pop_front();
    return grpc::Status::OK;
  }
  grpc::Status GetServerInfo(grpc::ServerContext*, const v1::GetServerInfoRequest*,
                             v1::GetServerInfoResponse* response) override {
    response->set_version("0.1.0");
    response->set_server_id("b1");
    response->set_namespace_("bascule-default");
    response->set_incarnation("4f1c2d");
    response->set_started(kEpoch);
    response->set_data_dir("/var/lib/bascule");
    response->set_listen("0.0.0.0:9292");
    response->set_advertised(address());
    response->set_nats_connected(true);
    response->set_nats_server("nats://127.0.0.1:4222");
    response->set_nats_max_payload(1 << 20);
    response->set_max_message_bytes(1 << 20);
    response->set_streams(streams_.size());
    response->set_partitions(streams_.size());
    response->set_disk_available(400ULL << 30);
    response->set_disk_total(512ULL << 30);
    response->set_disk_reserve(10ULL << 30);
    (*response->mutable_counters())["ingest.messages"] = 1'234'567;
    (*response->mutable_counters())["nats.reconnects"] = 0;
    return grpc::Status::OK;
  }
  grpc::Status UpdateStream(grpc::ServerContext*, const v1::UpdateStreamRequest* request,
                            v1::UpdateStreamResponse* response) override {
    std::unique_lock lock(mutex_);
    last_update = *request;
    const auto found = streams_.find(request->name());
    if (found == streams_.end()) return {grpc::StatusCode::NOT_FOUND, "stream does not exist"};
    if (request->settings().min_isr() == 9)
      return {grpc::StatusCode::INVALID_ARGUMENT, "min_isr cannot change"};
    found->second.description.mutable_settings()->MergeFrom(request->settings());
    *response->mutable_settings() = found->second.description.settings();
    return grpc::Status::OK;
  }
  grpc::Status GetClusterStatus(grpc::ServerContext*, const v1::GetClusterStatusRequest*,
                                v1::GetClusterStatusResponse* response) override {
    *response = cluster;
    return cluster_answer;
  }
  grpc::Status AddMember(grpc::ServerContext*, const v1::AddMemberRequest* request,
                         v1::AddMemberResponse*) override {
    last_cluster_change = "add " + request->peer_address();
    return cluster_answer;
  }
  grpc::Status RemoveMember(grpc::ServerContext*, const v1::RemoveMemberRequest* request,
                            v1::RemoveMemberResponse*) override {
    last_cluster_change = "remove " + request->server_id() + (request->force() ? " force" : "");
    return cluster_answer;
  }
  grpc::Status TransferLeadership(grpc::ServerContext*,
                                  const v1::TransferLeadershipRequest* request,
                                  v1::TransferLeadershipResponse*) override {
    last_cluster_change = "transfer " + request->server_id();
    return cluster_answer;
  }

 private:
  // Cancellation wakes nobody; everything else does.
  void WaitABit(std::unique_lock<std::mutex>& lock) {
    changed_.wait_for(lock, std::chrono::milliseconds(20));
  }

  static int64_t StartOf(const proto::SubscribeRequest& request,
                         const std::vector<proto::Message>& log) {
    const auto end = static_cast<int64_t>(log.size());
    switch (request.startposition()) {
      case proto::NEW_ONLY:
        return end;
      case proto::OFFSET:
        return std::min(request.startoffset(), end);
      case proto::LATEST:
        return request.reverse() ? end - 1 : std::max<int64_t>(end - 1, 0);
      case proto::TIMESTAMP: {
        int64_t at = 0;
        while (at < end && log[static_cast<size_t>(at)].timestamp() < request.starttimestamp())
          ++at;
        return at;
      }
      default:
        return 0;
    }
  }

  grpc::Status Store(const proto::PublishRequest& request, proto::Ack* ack) {
    {
      std::unique_lock lock(mutex_);
      const auto found = streams_.find(request.stream());
      if (found == streams_.end())
        return {grpc::StatusCode::NOT_FOUND, "no such stream: " + request.stream()};
      if (static_cast<size_t>(request.partition()) >= found->second.partitions.size()) {
        return {grpc::StatusCode::NOT_FOUND,
                "no such partition: " + std::to_string(request.partition())};
      }
      if (request.value().size() > (1 << 20)) {
        return {grpc::StatusCode::INVALID_ARGUMENT, "message exceeds max replication size"};
      }
      published_.push_back(request);
    }
    const int64_t offset =
        Append(request.stream(), request.value(), request.key(), 0, request.partition());
    ack->set_stream(ack_stream.empty() ? request.stream() : ack_stream);
    ack->set_offset(offset);
    ack->set_correlationid(request.correlationid());
    ack->set_ackpolicy(request.ackpolicy());
    ack->set_receptiontimestamp(kEpoch);
    ack->set_committimestamp(kEpoch + 1'000'000);
    return grpc::Status::OK;
  }

  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::atomic<bool> stopping_{false};
  int subscribers_ = 0;
  std::map<std::string, Stream> streams_;
  std::vector<proto::PublishRequest> published_;
};

// `bascule ARGS...` asking `broker`; what a command line gives for --server wins.
inline ChildOptions Cli(const FakeBroker& broker, std::vector<std::string> args,
                        std::string input = "") {
  const char* folder = std::getenv("BASCULE_BIN");
  ChildOptions options;
  options.program = std::string(folder != nullptr ? folder : "bin") + "/bascule";
  options.args = std::move(args);
  options.env = {{"BASCULE_SERVER", broker.address()}};
  options.input = std::move(input);
  return options;
}

inline RunResult RunCli(const FakeBroker& broker, std::vector<std::string> args,
                        std::string input = "") {
  return RunProgram(Cli(broker, std::move(args), std::move(input))).value();
}

inline bool Has(const std::string& text, const std::string& part) {
  return text.find(part) != text.npos;
}

}  // namespace bascule::testing
