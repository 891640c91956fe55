// A client of the peer port that says whatever the test wants.
#pragma once

#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/client_callback.h>

#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "replication/peer/byte_buffer.h"
#include "replication/peer/frame.h"

namespace bascule::peer {

// One stream on a connection of its own. What is given to it is written in order, from the start.
class RawStream final : public grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  RawStream(
      const std::string& address, std::vector<std::string> frames,
      const char* method = "/bascule.peer.v1.Peer/Control",
      std::shared_ptr<grpc::ChannelCredentials> credentials = grpc::InsecureChannelCredentials())
      : frames_(std::move(frames)) {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    arguments.SetSslTargetNameOverride("b2");
    channel_ = grpc::CreateCustomChannel(address, std::move(credentials), arguments);
    grpc::GenericStub stub(channel_);
    stub.PrepareBidiStreamingCall(&context_, method, {}, this);
    WriteNext();
    StartRead(&read_);
    StartCall();
  }
  ~RawStream() override {
    context_.TryCancel();
    done_.wait();
  }
  // Waits for the end of the stream; cancels one that does not end by itself.
  const grpc::Status& status() {
    if (done_.wait_for(std::chrono::seconds(20)) != std::future_status::ready) context_.TryCancel();
    done_.wait();
    return status_;
  }
  bool over() { return done_.wait_for(std::chrono::seconds(0)) == std::future_status::ready; }
  std::vector<peer::Frame> received() {
    const std::lock_guard lock(mutex_);
    return received_;
  }

  void OnWriteDone(bool ok) override {
    if (ok) WriteNext();
  }
  void OnReadDone(bool ok) override {
    if (!ok) return;
    grpc::Slice held;
    auto frame = peer::DecodeFrame(peer::ViewOf(read_, held));
    if (frame.ok()) {
      const std::lock_guard lock(mutex_);
      received_.push_back(*std::move(frame));
    }
    StartRead(&read_);
  }
  void OnDone(const grpc::Status& status) override {
    status_ = status;
    promise_.set_value();
  }

 private:
  void WriteNext() {
    if (next_ == frames_.size()) return;
    write_ = peer::ToByteBuffer(frames_[next_++]);
    StartWrite(&write_);
  }

  std::shared_ptr<grpc::Channel> channel_;
  grpc::ClientContext context_;
  const std::vector<std::string> frames_;
  size_t next_ = 0;
  grpc::ByteBuffer read_, write_;
  std::mutex mutex_;
  std::vector<peer::Frame> received_;  // guarded by mutex_
  grpc::Status status_;
  std::promise<void> promise_;
  std::shared_future<void> done_ = promise_.get_future().share();
};

}  // namespace bascule::peer
