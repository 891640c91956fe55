#include "nats_bridge/header_block.h"

#include "core/base/limits.h"

namespace bascule::nats {
namespace {

constexpr std::string_view kVersionLine = "NATS/1.0";
constexpr std::string_view kLineEnd = "\r\n";

bool IsBlank(char c) { return c == ' ' || c == '\t'; }

std::string_view Trim(std::string_view text) {
  while (!text.empty() && IsBlank(text.front())) text.remove_prefix(1);
  while (!text.empty() && IsBlank(text.back())) text.remove_suffix(1);
  return text;
}

// Removes one line, with the lines that fold onto it, from the front of `rest`.
std::string_view TakeLine(std::string_view& rest) {
  size_t end = rest.find(kLineEnd);
  while (end != std::string_view::npos && end + kLineEnd.size() < rest.size() &&
         IsBlank(rest[end + kLineEnd.size()])) {
    end = rest.find(kLineEnd, end + kLineEnd.size());
  }
  const std::string_view line = rest.substr(0, end);
  rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + kLineEnd.size());
  return line;
}

}  // namespace

bool ReadHeaderBlock(std::string_view block, wire::HeaderList& out) {
  if (block.substr(0, kVersionLine.size()) != kVersionLine) return false;
  TakeLine(block);
  while (!block.empty() && out.size() < limits::kMaxHeaders) {
    const std::string_view line = TakeLine(block);
    const size_t colon = line.find(':');
    if (colon == 0 || colon == std::string_view::npos) continue;
    out.emplace_back(line.substr(0, colon), Trim(line.substr(colon + 1)));
  }
  return true;
}

}  // namespace bascule::nats
