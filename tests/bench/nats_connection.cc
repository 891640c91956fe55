#include "tests/bench/nats_connection.h"

#include "absl/strings/str_cat.h"

namespace bascule::bench {

namespace {

void OnClosed(natsConnection*, void* closed) {
  auto* flag = static_cast<std::atomic<bool>*>(closed);
  flag->store(true);
  flag->notify_all();
}

void OnDisconnected(natsConnection*, void* lost) {
  static_cast<std::atomic<bool>*>(lost)->store(true);
}

}  // namespace

absl::StatusOr<std::unique_ptr<NatsConnection>> NatsConnection::Open(const std::string& url,
                                                                     jsOptions* options) {
  std::unique_ptr<NatsConnection> self(new NatsConnection);
  natsOptions* settings = nullptr;
  natsStatus status = natsOptions_Create(&settings);
  if (status == NATS_OK) status = natsOptions_SetURL(settings, url.c_str());
  if (status == NATS_OK) status = natsOptions_SetAllowReconnect(settings, false);
  if (status == NATS_OK)
    status = natsOptions_SetDisconnectedCB(settings, OnDisconnected, &self->lost_);
  if (status == NATS_OK) status = natsOptions_SetClosedCB(settings, OnClosed, &self->closed_);
  if (status == NATS_OK) status = natsConnection_Connect(&self->connection_, settings);
  natsOptions_Destroy(settings);
  if (status == NATS_OK) {
    status = natsConnection_JetStream(&self->jetstream_, self->connection_, options);
  }
  if (status != NATS_OK) return NatsError("connecting to " + url, status);
  return self;
}

NatsConnection::~NatsConnection() {
  if (connection_ == nullptr) return;
  jsCtx_Destroy(jetstream_);
  natsConnection_Close(connection_);
  closed_.wait(false);  // the closed callback is the connection's last and uses this object
  natsConnection_Destroy(connection_);
}

absl::Status NatsError(const std::string& what, natsStatus status) {
  return absl::UnavailableError(absl::StrCat(what, ": ", natsStatus_GetText(status)));
}

}  // namespace bascule::bench
