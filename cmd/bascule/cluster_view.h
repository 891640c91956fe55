// The cluster as people read it. Pure.
#pragma once

#include <ostream>
#include <string>
#include <vector>

namespace bascule::v1 {
class GetClusterStatusResponse;
}

namespace bascule::cli {

// Leader, log and members, one row each; what is not as it should be stands last, a sentence each.
void PrintCluster(std::ostream& out, const v1::GetClusterStatusResponse& status);

// Those sentences: the server's, and what the members show beside them. Empty when all is well.
std::vector<std::string> Troubles(const v1::GetClusterStatusResponse& status);

}  // namespace bascule::cli
