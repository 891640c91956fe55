#include "nats_bridge/control_line.h"

#include <bit>

#include "core/base/limits.h"
#include "core/base/text.h"

namespace bascule::nats {
namespace {

constexpr size_t kSizeDigits = 10;  // of a payload

}  // namespace

size_t PubLineBytes(std::string_view subject, std::string_view reply) {
  return subject.size() + 1 + (reply.empty() ? 0 : reply.size() + 1) + kSizeDigits;
}

size_t SubLineBytes(std::string_view subject, std::string_view group) {
  return subject.size() + 1 + (group.empty() ? 0 : group.size() + 1) + limits::kNatsSidDigits;
}

std::string LineTooLongText(size_t line, size_t limit) {
  return Concat("the line that names it has ", line, " bytes, the server takes ", limit,
                " (max_control_line)");
}

size_t LowerLineLimit(size_t longest) { return longest <= 1 ? 1 : std::bit_floor(longest - 1); }

}  // namespace bascule::nats
