// UNAVAILABLE has two makers: gRPC, when there is no connection, and a server that cannot do now what
// it was asked for. Pure.
#pragma once

#include <grpcpp/support/status.h>

#include <string>

namespace bascule::cli {

// What this program itself says of calls that a server ended politely and too early.
inline constexpr char kSubscriptionEnded[] = "the server ended it before its end";
inline constexpr char kPublishingEnded[] = "the server ended the call before the last acks";

// Whether nobody answered: gRPC's own texts say so, or the server that it goes. Any other text is
// what a server has to say.
bool IsConnectionLost(const grpc::Status& status);

// Whether a server refused because nobody leads the cluster's metadata.
bool IsWithoutLeader(const grpc::Status& status);

}  // namespace bascule::cli
