#include "tests/integration/main_world.h"

#include <grpcpp/generic/generic_stub.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "absl/strings/str_cat.h"

namespace bascule::main_job {
namespace {

std::string Bin(const std::string& program) {
  const char* folder = std::getenv("BASCULE_BIN");
  return std::string(folder != nullptr ? folder : "bin") + "/" + program;
}

void Expect(const grpc::Status& status, const std::string& what, const MainBroker& broker) {
  REQUIRE_MESSAGE(status.ok(), what, ": ", status.error_code(), " ", status.error_message(), "\n",
                  broker.Tail());
}

}  // namespace

double Seconds(std::chrono::steady_clock::time_point since) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - since).count();
}

bool Has(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

void Bound(grpc::ClientContext& context, std::chrono::milliseconds limit) {
  context.set_deadline(std::chrono::system_clock::now() + limit);
  context.set_wait_for_ready(true);
}

std::unique_ptr<NatsServer> StartNats(const NatsServerOptions& options) {
  auto started = NatsServer::Start(options);
  REQUIRE_MESSAGE(started.ok(), started.status().ToString());
  return *std::move(started);
}

RunResult RunTool(const std::string& program, std::vector<std::string> args,
                  std::chrono::seconds limit) {
  ChildOptions options;
  options.program = Bin(program);
  options.args = std::move(args);
  auto run = RunProgram(options, limit);
  REQUIRE_MESSAGE(run.ok(), run.status().ToString());
  return *std::move(run);
}

// --- MainBroker ---

MainBroker::MainBroker(std::string nats_url, std::vector<std::string> args, std::string data)
    : nats_url_(std::move(nats_url)),
      args_(std::move(args)),
      data_(data.empty() ? files_.Path("data") : std::move(data)),
      address_(absl::StrCat("127.0.0.1:", PickFreePort())) {}

void MainBroker::PutAt(std::string address, std::vector<std::string> launcher) {
  address_ = std::move(address);
  launcher_ = std::move(launcher);
}

void MainBroker::Launch() {
  // A channel of an earlier life may not have noticed yet that the broker died.
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 50);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetMaxReceiveMessageSize(-1);
  channel_ = grpc::CreateCustomChannel(address_, grpc::InsecureChannelCredentials(), arguments);
  api_ = proto::API::NewStub(channel_);
  own_ = v1::Bascule::NewStub(channel_);
  ChildOptions child;
  std::vector<std::string> words = launcher_;
  words.insert(words.end(), {Bin("basculed"), "--listen", address_, "--data-dir", data_});
  child.program = words.front();
  child.env = env_;
  child.args.assign(words.begin() + 1, words.end());
  if (!nats_url_.empty()) child.args.insert(child.args.end(), {"--nats-servers", nats_url_});
  child.args.insert(child.args.end(), args_.begin(), args_.end());
  auto started = ChildProcess::Start(child);
  REQUIRE_MESSAGE(started.ok(), started.status().ToString());
  process_ = *std::move(started);
}

void MainBroker::Start() {
  Launch();
  AwaitServing();
}

void MainBroker::AwaitServing(std::chrono::milliseconds limit) {
  const bool ready = Eventually([&] { return !process_->Running() || Serves(); }, limit);
  REQUIRE_MESSAGE(ready, "basculed does not serve:\n", Tail());
  REQUIRE_MESSAGE(process_->Running(), "basculed ended:\n", Tail());
}

ExitStatus MainBroker::StartRefused() {
  Launch();
  const auto exit = process_->WaitExit(kPatience);
  REQUIRE_MESSAGE(exit.has_value(), "basculed should have refused to start:\n", Tail());
  return *exit;
}

void MainBroker::Stop() {
  process_->Signal(SIGTERM);
  const auto exit = process_->WaitExit(kPatience);
  REQUIRE_MESSAGE(exit.has_value(), "SIGTERM did not end basculed:\n", Tail());
  REQUIRE_MESSAGE(exit->ok(), "ended with status ", exit->code, ", signal ", exit->signal, "\n",
                  Tail());
}

void MainBroker::Kill() { process_->Kill(); }

std::string MainBroker::PartitionDirectory(const std::string& stream, int partition) {
  return absl::StrCat(data_, "/streams/", Describe(stream).id(), "/", partition);
}

uint64_t MainBroker::MemoryBytes(const std::string& line) const {
  std::ifstream status(absl::StrCat("/proc/", pid(), "/status"));
  std::string text;
  while (std::getline(status, text)) {
    if (text.starts_with(line + ":")) return std::stoull(text.substr(line.size() + 1)) * 1024;
  }
  return 0;
}

std::string MainBroker::Log() const { return process_ == nullptr ? "" : process_->Errors(); }

std::string MainBroker::Tail() const {
  const std::string log = Log();
  constexpr size_t kTail = 4000;
  return "basculed wrote:\n" + (log.size() > kTail ? log.substr(log.size() - kTail) : log);
}

void MainBroker::CreateStream(const std::string& name, const std::string& subject,
                              const std::function<void(v1::CreateStreamRequest&)>& more) {
  v1::CreateStreamRequest request;
  request.set_name(name);
  request.set_subject(subject);
  if (more) more(request);
  v1::CreateStreamResponse response;
  grpc::ClientContext context;
  Bound(context);
  Expect(own_->CreateStream(&context, request, &response), "create " + name, *this);
}

v1::Stream MainBroker::Describe(const std::string& stream) {
  v1::ListStreamsRequest request;
  request.add_names(stream);
  v1::ListStreamsResponse response;
  grpc::ClientContext context;
  Bound(context);
  Expect(own_->ListStreams(&context, request, &response), "describe " + stream, *this);
  REQUIRE(response.streams_size() == 1);
  return response.streams(0);
}

v1::GetServerInfoResponse MainBroker::Info() {
  v1::GetServerInfoResponse response;
  grpc::ClientContext context;
  Bound(context);
  Expect(own_->GetServerInfo(&context, {}, &response), "server info", *this);
  return response;
}

int64_t MainBroker::Publish(const std::string& stream, const std::string& value, int partition) {
  proto::PublishRequest request;
  request.set_stream(stream);
  request.set_partition(partition);
  request.set_value(value);
  request.set_ackpolicy(proto::ALL);
  proto::PublishResponse response;
  grpc::ClientContext context;
  Bound(context);
  Expect(api_->Publish(&context, request, &response), "publish to " + stream, *this);
  REQUIRE(response.has_ack());
  return response.ack().offset();
}

void MainBroker::PublishMany(const std::string& stream, const std::vector<std::string>& values,
                             size_t window) {
  grpc::ClientContext context;
  Bound(context, std::chrono::seconds(60));
  auto session = api_->PublishAsync(&context);
  proto::PublishResponse response;
  size_t acked = 0;
  const auto take = [&] {
    REQUIRE_MESSAGE(session->Read(&response), "no ack after ", acked, " messages\n", Tail());
    REQUIRE_MESSAGE(!response.has_asyncerror(), response.asyncerror().message(), "\n", Tail());
    ++acked;
  };
  for (size_t sent = 0; sent < values.size(); ++sent) {
    proto::PublishRequest request;
    request.set_stream(stream);
    request.set_value(values[sent]);
    request.set_ackpolicy(proto::ALL);
    REQUIRE_MESSAGE(session->Write(request), Tail());
    if (sent + 1 - acked >= window) take();
  }
  while (acked < values.size()) take();
  session->WritesDone();
  Expect(session->Finish(), "end of a PublishAsync session", *this);
}

std::vector<proto::Message> MainBroker::ReadAll(const std::string& stream, int partition) {
  Subscriber reader(*this, Request(stream, proto::EARLIEST, proto::STOP_LATEST, partition));
  std::vector<proto::Message> messages = reader.Rest();
  const grpc::Status& status = reader.status();
  REQUIRE_MESSAGE(status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED, "reading ", stream,
                  " ended with ", status.error_code(), " ", status.error_message(), "\n", Tail());
  return messages;
}

// --- Subscriber ---

Subscriber::Subscriber(MainBroker& broker, const proto::SubscribeRequest& request,
                       std::chrono::milliseconds limit) {
  Bound(context_, limit);
  reader_ = broker.api().Subscribe(&context_, request);
  proto::Message first;
  stands_ = reader_->Read(&first);
  if (!stands_) return;
  CHECK_MESSAGE(first.ByteSizeLong() == 0,
                "the first message is not empty: ", first.ShortDebugString());
}

std::optional<proto::Message> Subscriber::Next() {
  proto::Message message;
  if (!stands_ || !reader_->Read(&message)) return std::nullopt;
  return message;
}

std::vector<proto::Message> Subscriber::Rest() {
  std::vector<proto::Message> messages;
  while (auto message = Next()) messages.push_back(*std::move(message));
  return messages;
}

const grpc::Status& Subscriber::status() {
  if (!status_) {
    Rest();
    status_ = reader_->Finish();
  }
  return *status_;
}

proto::SubscribeRequest Request(const std::string& stream, proto::StartPosition start,
                                proto::StopPosition stop, int partition) {
  proto::SubscribeRequest request;
  request.set_stream(stream);
  request.set_partition(partition);
  request.set_startposition(start);
  request.set_stopposition(stop);
  return request;
}

RawAnswer CallRaw(const std::shared_ptr<grpc::Channel>& channel, const std::string& method,
                  const std::string& request, std::chrono::milliseconds limit) {
  grpc::GenericStub stub(channel);
  grpc::CompletionQueue queue;
  grpc::ClientContext context;
  Bound(context, limit);
  auto call = stub.PrepareCall(&context, method, &queue);
  const auto done = [&] {
    void* tag = nullptr;
    bool ok = false;
    return queue.Next(&tag, &ok) && ok;
  };
  RawAnswer answer;
  call->StartCall(nullptr);
  done();
  const grpc::Slice slice(request);
  call->WriteLast(grpc::ByteBuffer(&slice, 1), grpc::WriteOptions(), nullptr);
  done();
  for (;;) {
    grpc::ByteBuffer message;
    call->Read(&message, nullptr);
    if (!done()) break;
    grpc::Slice whole;
    REQUIRE(message.DumpToSingleSlice(&whole).ok());
    answer.messages.emplace_back(reinterpret_cast<const char*>(whole.begin()), whole.size());
  }
  call->Finish(&answer.status, nullptr);
  done();
  queue.Shutdown();
  done();
  return answer;
}

// --- BusClient ---

BusClient::BusClient(const std::string& url) {
  REQUIRE(natsConnection_ConnectTo(&connection_, url.c_str()) == NATS_OK);
}

BusClient::~BusClient() {
  natsSubscription_Destroy(subscription_);
  natsConnection_Destroy(connection_);
}

void BusClient::Publish(const std::string& subject, std::string_view payload,
                        const std::string& reply) {
  const auto size = static_cast<int>(payload.size());
  const natsStatus status =
      reply.empty() ? natsConnection_Publish(connection_, subject.c_str(), payload.data(), size)
                    : natsConnection_PublishRequest(connection_, subject.c_str(), reply.c_str(),
                                                    payload.data(), size);
  REQUIRE_MESSAGE(status == NATS_OK, natsStatus_GetText(status));
}

void BusClient::PublishWithHeader(const std::string& subject, std::string_view payload,
                                  const std::string& name, const std::string& value) {
  natsMsg* message = nullptr;
  REQUIRE(natsMsg_Create(&message, subject.c_str(), nullptr, payload.data(),
                         static_cast<int>(payload.size())) == NATS_OK);
  REQUIRE(natsMsgHeader_Set(message, name.c_str(), value.c_str()) == NATS_OK);
  REQUIRE(natsConnection_PublishMsg(connection_, message) == NATS_OK);
  natsMsg_Destroy(message);
}

void BusClient::Flush() { REQUIRE(natsConnection_FlushTimeout(connection_, 20000) == NATS_OK); }

void BusClient::Listen(const std::string& subject) {
  REQUIRE(natsConnection_SubscribeSync(&subscription_, connection_, subject.c_str()) == NATS_OK);
  Flush();
}

std::optional<std::string> BusClient::Take(std::chrono::milliseconds limit) {
  natsMsg* message = nullptr;
  if (natsSubscription_NextMsg(&message, subscription_, limit.count()) != NATS_OK)
    return std::nullopt;
  std::string text(natsMsg_GetData(message), static_cast<size_t>(natsMsg_GetDataLength(message)));
  natsMsg_Destroy(message);
  return text;
}

std::vector<std::string> Values(const std::vector<proto::Message>& messages) {
  std::vector<std::string> values;
  for (const proto::Message& message : messages) values.push_back(message.value());
  return values;
}

}  // namespace bascule::main_job
