// absl's codes are gRPC's codes; texts pass unchanged.
#pragma once

#include <grpcpp/support/status.h>

#include <string>

#include "core/base/status.h"

namespace bascule::api {

inline grpc::Status ToGrpc(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), std::string(status.message()));
}

}  // namespace bascule::api
