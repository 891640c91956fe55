// bascule.v1.Bascule: what the wire-compatible API has no field for.
#pragma once

#include "bascule/v1/bascule.grpc.pb.h"
#include "core/api/api_state.h"

namespace bascule {

class BasculeService final : public v1::Bascule::CallbackService {
 public:
  explicit BasculeService(ApiState& state) : state_(state) {}

  grpc::ServerUnaryReactor* CreateStream(grpc::CallbackServerContext* context,
                                         const v1::CreateStreamRequest* request,
                                         v1::CreateStreamResponse* response) override;
  grpc::ServerUnaryReactor* ListStreams(grpc::CallbackServerContext* context,
                                        const v1::ListStreamsRequest* request,
                                        v1::ListStreamsResponse* response) override;
  grpc::ServerUnaryReactor* GetServerInfo(grpc::CallbackServerContext* context,
                                          const v1::GetServerInfoRequest*,
                                          v1::GetServerInfoResponse* response) override;

 private:
  ApiState& state_;
};

}  // namespace bascule
