// The server's credentials from its TLS options.
#pragma once

#include <grpcpp/security/server_credentials.h>

#include <memory>

#include "core/api/api_server.h"

namespace bascule {

// Insecure without key and certificate. InvalidArgument naming the setting: half a pair, client
// authentication without TLS, a file that cannot be read or is not PEM.
absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> MakeCredentials(const TlsOptions& options,
                                                                         FileSystem& files);

}  // namespace bascule
