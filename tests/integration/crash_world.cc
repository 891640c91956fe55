#include "tests/integration/crash_world.h"

#include <grpcpp/grpcpp.h>

#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <stdexcept>

#include "absl/strings/str_cat.h"
#include "api.grpc.pb.h"
#include "bascule/v1/bascule.grpc.pb.h"
#include "core/base/check.h"
#include "tests/support/eventually.h"
#include "tests/support/unsynced_format.h"

namespace bascule::crash {
namespace {

using std::chrono::seconds;

std::shared_ptr<grpc::Channel> Dial(const std::string& address) {
  grpc::ChannelArguments arguments;
  // A broker that has just come back answers now, not after the back-off of the one that died.
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
}

void SetDeadline(grpc::ClientContext& context, seconds limit) {
  context.set_deadline(std::chrono::system_clock::now() + limit);
  context.set_wait_for_ready(true);
}

absl::Status FromGrpc(const grpc::Status& status) {
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
}

std::optional<int64_t> NumberAtStart(std::string_view text) {
  int64_t number = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end == text.data()) return std::nullopt;
  return number;
}

// The number, then filling, as real messages have a size.
std::string ValueOf(int64_t number) {
  std::string value = std::to_string(number);
  value.resize(128, ' ');
  return value;
}

// {"stream":"crash","seq":12}: the offset, one less.
std::optional<int64_t> OffsetOf(std::string_view ack) {
  constexpr std::string_view kKey = "\"seq\":";
  size_t at = ack.find(kKey);
  if (at == std::string_view::npos || ack.find("\"error\"") != std::string_view::npos)
    return std::nullopt;
  ack.remove_prefix(at + kKey.size());
  while (ack.starts_with(' ')) ack.remove_prefix(1);
  std::optional<int64_t> seq = NumberAtStart(ack);
  if (!seq || *seq < 1) return std::nullopt;
  return *seq - 1;
}

}  // namespace

// --- CrashBroker ---

CrashBroker::CrashBroker(std::string nats_url, Loss loss, std::string forget)
    : nats_url_(std::move(nats_url)),
      loss_(loss),
      forget_(std::move(forget)),
      port_(PickFreePort()) {
  std::filesystem::create_directory(files_.Path("data"));
  std::filesystem::create_directory(files_.Path("journal"));
}

absl::Status CrashBroker::Start() {
  const std::string bin = std::getenv("BASCULE_BIN");
  ChildOptions child;
  child.program = bin + "/basculed";
  child.env = {{"BASCULE_DATA_DIR", files_.Path("data")},
               {"BASCULE_LISTEN", address()},
               {"BASCULE_NATS_SERVERS", nats_url_}};
  if (loss_ == Loss::kPower) {
    child.env.emplace_back("LD_PRELOAD", bin + "/libunsynced_loss.so");
    child.env.emplace_back(UNSYNCED_ROOT, files_.Path("data"));
    child.env.emplace_back(UNSYNCED_JOURNAL, files_.Path("journal"));
    child.env.emplace_back(UNSYNCED_FORGET, forget_);
    child.env.emplace_back(UNSYNCED_FAIL, "/streams/");
    child.env.emplace_back(UNSYNCED_FAIL_WHEN, files_.Path("fail"));
  }
  ASSIGN_OR_RETURN(process_, ChildProcess::Start(child));
  auto channel = Dial(address());
  bool serves = Eventually([&] {
    return !process_->Running() || channel->WaitForConnected(std::chrono::system_clock::now() +
                                                             std::chrono::milliseconds(200));
  });
  if (!serves || !process_->Running()) {
    return absl::InternalError("basculed does not serve gRPC; it says:\n" + process_->Errors());
  }
  return absl::OkStatus();
}

absl::Status CrashBroker::CreateStream() {
  auto stub = bascule::v1::Bascule::NewStub(Dial(address()));
  bascule::v1::CreateStreamRequest request;
  request.set_name(kStream);
  request.set_subject(kSubject);
  request.mutable_settings()->set_reply_acks(bascule::v1::REPLY_ACKS_JETSTREAM);
  // Small segments, so that kills also fall into rolls and seals.
  request.mutable_settings()->set_segment_max_bytes(256 * 1024);
  bascule::v1::CreateStreamResponse response;
  grpc::ClientContext context;
  SetDeadline(context, seconds(10));
  return FromGrpc(stub->CreateStream(&context, request, &response));
}

UnsyncedLoss CrashBroker::Kill() {
  process_->Kill();
  if (loss_ == Loss::kProcess) return {};
  return RecoverUnsynced(files_.Path("data"), files_.Path("journal"));
}

void CrashBroker::FailNextSync() { std::ofstream(files_.Path("fail")).put('1'); }

bool CrashBroker::SyncFailed() {
  return Eventually([&] { return !std::filesystem::exists(files_.Path("fail")); });
}

// --- CrashPublisher ---

CrashPublisher::CrashPublisher(const std::string& nats_url) {
  natsInbox* inbox = nullptr;
  natsStatus status = natsConnection_ConnectTo(&connection_, nats_url.c_str());
  if (status == NATS_OK) status = natsInbox_Create(&inbox);
  if (status == NATS_OK) {
    inbox_ = inbox;
    natsInbox_Destroy(inbox);
    status = natsConnection_Subscribe(&subscription_, connection_, (inbox_ + ".*").c_str(), &OnAck,
                                      this);
  }
  if (status != NATS_OK)
    throw std::runtime_error(absl::StrCat("NATS at ", nats_url, ": ", natsStatus_GetText(status)));
  natsSubscription_SetPendingLimits(subscription_, -1, -1);
}

CrashPublisher::~CrashPublisher() {
  // Its thread may be in OnAck: the connection's end waits for it.
  natsConnection_Close(connection_);
  natsSubscription_Destroy(subscription_);
  natsConnection_Destroy(connection_);
}

void CrashPublisher::OnAck(natsConnection*, natsSubscription*, natsMsg* message, void* self) {
  // Without a body: the nats-server says that nobody listens, between two lives of the broker.
  const auto length = static_cast<size_t>(natsMsg_GetDataLength(message));
  if (length > 0) {
    static_cast<CrashPublisher*>(self)->TakeAck(natsMsg_GetSubject(message),
                                                std::string_view(natsMsg_GetData(message), length));
  }
  natsMsg_Destroy(message);
}

void CrashPublisher::TakeAck(std::string_view subject, std::string_view text) {
  std::optional<int64_t> number = NumberAtStart(subject.substr(inbox_.size() + 1));
  std::optional<int64_t> offset = OffsetOf(text);
  std::lock_guard<std::mutex> lock(mutex_);
  if (!number || !offset) {
    refused_.push_back(absl::StrCat(std::string(subject), ": ", std::string(text)));
  } else if (!acked_.emplace(*number, *offset).second) {
    refused_.push_back(absl::StrCat("a second ack for ", *number, ": ", std::string(text)));
  } else if (*number >= first_of_load_) {
    ++acked_of_load_;
  }
  changed_.notify_all();
}

void CrashPublisher::Send() {
  const std::string reply = absl::StrCat(inbox_, ".", next_);
  const std::string value = ValueOf(next_);
  natsStatus status = natsConnection_PublishRequest(connection_, kSubject, reply.c_str(),
                                                    value.data(), static_cast<int>(value.size()));
  BASCULE_CHECK_EQ(status, NATS_OK);
  ++next_;
}

bool CrashPublisher::Probe() {
  for (int attempt = 0; attempt < 150; ++attempt) {
    int64_t number = next_;
    Send();
    natsConnection_Flush(connection_);
    std::unique_lock<std::mutex> lock(mutex_);
    if (changed_.wait_for(lock, std::chrono::milliseconds(200),
                          [&] { return acked_.lower_bound(number) != acked_.end(); })) {
      return true;
    }
  }
  return false;
}

void CrashPublisher::Fire(size_t count) {
  for (; count > 0; --count) Send();
  natsConnection_Flush(connection_);
}

bool CrashPublisher::Publish(size_t acks, size_t window) {
  std::unique_lock<std::mutex> lock(mutex_);
  // What the last kill took on its way is not waited for.
  first_of_load_ = next_;
  acked_of_load_ = 0;
  auto has_room = [&] {
    return static_cast<size_t>(next_ - first_of_load_) - acked_of_load_ < window;
  };
  while (acked_of_load_ < acks) {
    if (!changed_.wait_for(lock, seconds(10), has_room)) return false;
    lock.unlock();
    Send();
    lock.lock();
  }
  return true;
}

std::map<int64_t, int64_t> CrashPublisher::Acked() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return acked_;
}

std::vector<std::string> CrashPublisher::Refused() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return refused_;
}

// --- reading back ---

absl::StatusOr<std::vector<Recorded>> ReadAll(const std::string& address) {
  auto stub = proto::API::NewStub(Dial(address));
  proto::SubscribeRequest request;
  request.set_stream(kStream);
  request.set_startposition(proto::EARLIEST);
  request.set_stopposition(proto::STOP_LATEST);
  grpc::ClientContext context;
  SetDeadline(context, seconds(60));
  auto reader = stub->Subscribe(&context, request);
  std::vector<Recorded> recorded;
  proto::Message message;
  bool first = true;
  while (reader->Read(&message)) {
    // The first one is empty: the subscription stands.
    if (first) {
      first = false;
      continue;
    }
    std::optional<int64_t> number = NumberAtStart(message.value());
    if (!number)
      return absl::DataLossError(
          absl::StrCat("offset ", message.offset(), " holds no number of ours"));
    recorded.push_back({message.offset(), *number});
  }
  grpc::Status status = reader->Finish();
  // How a subscription ends that has reached its stop position.
  if (!status.ok() && status.error_code() != grpc::StatusCode::RESOURCE_EXHAUSTED)
    return FromGrpc(status);
  return recorded;
}

std::vector<std::string> Compare(const std::map<int64_t, int64_t>& acked,
                                 const std::vector<Recorded>& recorded) {
  std::vector<std::string> wrong;
  std::map<int64_t, int64_t> offset_of;  // number -> offset
  for (size_t i = 0; i < recorded.size(); ++i) {
    const Recorded& here = recorded[i];
    // Gap records take offsets and are not delivered, so not every offset shows.
    if (i > 0 && recorded[i - 1].offset >= here.offset) {
      wrong.push_back(
          absl::StrCat("offset ", here.offset, " after offset ", recorded[i - 1].offset));
    }
    if (!offset_of.emplace(here.number, here.offset).second) {
      wrong.push_back(
          absl::StrCat("message ", here.number, " twice, again at offset ", here.offset));
    } else if (i > 0 && recorded[i - 1].number > here.number) {
      wrong.push_back(absl::StrCat("message ", here.number, " at offset ", here.offset,
                                   " comes after ", recorded[i - 1].number));
    }
  }
  size_t missing = 0;
  for (const auto& [number, offset] : acked) {
    auto found = offset_of.find(number);
    if (found == offset_of.end()) {
      if (++missing == 1)
        wrong.push_back(
            absl::StrCat("message ", number, ", acked at offset ", offset, ", is lost"));
    } else if (found->second != offset) {
      wrong.push_back(
          absl::StrCat("message ", number, " acked at offset ", offset, " is at ", found->second));
    }
  }
  if (missing > 1) wrong.push_back(absl::StrCat(missing, " acked messages are lost in all"));
  if (wrong.size() > 10) wrong.resize(10);
  return wrong;
}

}  // namespace bascule::crash
