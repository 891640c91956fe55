// A real basculed on a data directory of its own, and clients of it: the parts of main_*_test.cc.
// Whatever goes wrong in a test says what the broker last wrote (Tail).
#pragma once

#include <doctest/doctest.h>
#include <grpcpp/grpcpp.h>
#include <nats/nats.h>

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "api.grpc.pb.h"
#include "bascule/v1/bascule.grpc.pb.h"
#include "core/base/status.h"
#include "tests/support/child_process.h"
#include "tests/support/eventually.h"
#include "tests/support/nats_server.h"
#include "tests/support/temp_dir.h"

namespace bascule::main_job {

inline constexpr std::chrono::seconds kPatience{20};  // bounds a failing test only

inline constexpr uint64_t kMiB = 1024 * 1024;

double Seconds(std::chrono::steady_clock::time_point since);
bool Has(std::string_view text, std::string_view part);
// Deadline, and waiting for a broker that is just coming up.
void Bound(grpc::ClientContext& context, std::chrono::milliseconds limit = kPatience);
std::unique_ptr<NatsServer> StartNats(const NatsServerOptions& options = {});
// Runs build/bin/<program>.
RunResult RunTool(const std::string& program, std::vector<std::string> args,
                  std::chrono::seconds limit = std::chrono::seconds(60));

// The process, its address and its data. Dies with the test. One thread.
class MainBroker {
 public:
  // `args` follow those that this class needs. `data`: a directory to use instead of an own one.
  explicit MainBroker(std::string nats_url, std::vector<std::string> args = {},
                      std::string data = "");

  // Where it runs: its address for clients, and the program that starts it ("ip netns exec x").
  // Before Launch.
  void PutAt(std::string address, std::vector<std::string> launcher = {});
  // Returns when it serves gRPC; the test ends when it does not.
  void Start();
  // Start's halves: what is to run beside others is launched first, then awaited.
  void Launch();
  void AwaitServing(std::chrono::milliseconds limit = kPatience);
  bool Serves() const { return Has(Log(), " serves on "); }
  // For a start that must fail: waits for the end of the process, returns its status.
  ExitStatus StartRefused();
  // SIGTERM; the test ends unless it stops cleanly.
  void Stop();
  void Kill();
  // Empty when it still runs after `limit`.
  std::optional<ExitStatus> AwaitEnd(std::chrono::milliseconds limit) {
    return process_->WaitExit(limit);
  }
  void Signal(int signal) { process_->Signal(signal); }
  bool Running() { return process_ != nullptr && process_->Running(); }

  std::string address() const { return address_; }
  const std::string& data() const { return data_; }
  std::vector<std::string>& args() { return args_; }                        // of the next Launch
  std::vector<std::pair<std::string, std::string>>& env() { return env_; }  // likewise
  // Of partition 0 unless told otherwise.
  std::string PartitionDirectory(const std::string& stream, int partition = 0);
  int pid() const { return static_cast<int>(process_->pid()); }
  // A line of /proc/<pid>/status such as "VmRSS", in bytes.
  uint64_t MemoryBytes(const std::string& line) const;
  // What this life of it has written, and the end of that for a failing test.
  std::string Log() const;
  std::string Tail() const;

  proto::API::Stub& api() { return *api_; }
  v1::Bascule::Stub& own() { return *own_; }
  const std::shared_ptr<grpc::Channel>& channel() const { return channel_; }

  // --- shorthand; each ends the test when it fails ---
  void CreateStream(const std::string& name, const std::string& subject,
                    const std::function<void(v1::CreateStreamRequest&)>& more = nullptr);
  v1::Stream Describe(const std::string& stream);
  v1::GetServerInfoResponse Info();
  // With an ALL ack; the offset.
  int64_t Publish(const std::string& stream, const std::string& value, int partition = 0);
  // Through one PublishAsync session, `window` unacknowledged at a time.
  void PublishMany(const std::string& stream, const std::vector<std::string>& values,
                   size_t window);
  // From the oldest to the newest.
  std::vector<proto::Message> ReadAll(const std::string& stream, int partition = 0);

 private:
  std::string nats_url_;
  std::vector<std::string> args_;
  std::vector<std::pair<std::string, std::string>> env_;
  std::vector<std::string> launcher_;
  TempDir files_;
  std::string data_;
  std::string address_;
  std::unique_ptr<ChildProcess> process_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<proto::API::Stub> api_;
  std::unique_ptr<v1::Bascule::Stub> own_;
};

// One Subscribe call. One thread.
class Subscriber {
 public:
  Subscriber(MainBroker& broker, const proto::SubscribeRequest& request,
             std::chrono::milliseconds limit = kPatience);
  // Whether the first, empty message came.
  bool stands() const { return stands_; }
  std::optional<proto::Message> Next();
  // Everything up to the end, then how it ended.
  std::vector<proto::Message> Rest();
  const grpc::Status& status();
  void Cancel() { context_.TryCancel(); }

 private:
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReader<proto::Message>> reader_;
  bool stands_ = false;
  std::optional<grpc::Status> status_;
};

proto::SubscribeRequest Request(const std::string& stream, proto::StartPosition start,
                                proto::StopPosition stop, int partition = 0);

// One call of any method with one request as bytes, until it ends: for services without generated
// code here, and for bytes that no generated code would send.
struct RawAnswer {
  std::vector<std::string> messages;
  grpc::Status status;
};
RawAnswer CallRaw(const std::shared_ptr<grpc::Channel>& channel, const std::string& method,
                  const std::string& request, std::chrono::milliseconds limit = kPatience);

// A plain NATS client. One thread.
class BusClient {
 public:
  explicit BusClient(const std::string& url);
  ~BusClient();
  BusClient(const BusClient&) = delete;
  BusClient& operator=(const BusClient&) = delete;
  natsConnection* get() { return connection_; }
  void Publish(const std::string& subject, std::string_view payload, const std::string& reply = "");
  void PublishWithHeader(const std::string& subject, std::string_view payload,
                         const std::string& name, const std::string& value);
  void Flush();
  // Listens from now on; Take waits for the next message there.
  void Listen(const std::string& subject);
  std::optional<std::string> Take(std::chrono::milliseconds limit);

 private:
  natsConnection* connection_ = nullptr;
  natsSubscription* subscription_ = nullptr;
};

std::vector<std::string> Values(const std::vector<proto::Message>& messages);

}  // namespace bascule::main_job

// Every check in a test with a broker `b` says what the broker last wrote.
#define BROKER_CHECK(b, ...) CHECK_MESSAGE((__VA_ARGS__), (b).Tail())
#define BROKER_REQUIRE(b, ...) REQUIRE_MESSAGE((__VA_ARGS__), (b).Tail())
