#include "core/base/wrap.h"

#include <algorithm>

namespace bascule {
namespace {

constexpr std::string_view kGoesOn = " \\";
constexpr size_t kCommandIndent = 4;  // of what goes on, more than its beginning

// Where what does not fit goes on.
size_t IndentOf(std::string_view line, size_t begin, size_t column) {
  if (begin == 0 || column < begin + 2 || line.size() <= column) return begin;
  const bool starts_there = line[column] != ' ' && line[column - 1] == ' ';
  const bool apart = line[column - 2] == ' ' || line[begin] == '-';
  return starts_there && apart ? column : begin;
}

void AppendWrapped(std::string& out, std::string_view line, size_t width, size_t column,
                   std::string_view command) {
  const size_t begin = std::min(line.find_first_not_of(' '), line.size());
  const bool is_command = begin > 0 && line.substr(begin).starts_with(command);
  const size_t indent = is_command ? begin + kCommandIndent : IndentOf(line, begin, column);
  const std::string_view end = is_command ? kGoesOn : std::string_view();
  size_t kept = is_command ? begin : indent;  // of this line nothing before it is a place to break
  std::string rest(line);
  while (rest.size() > width) {
    size_t at = rest.rfind(' ', width - end.size());
    if (at == std::string::npos || at <= kept) at = rest.find(' ', std::max(kept, width));
    if (at == std::string::npos) break;
    out.append(rest, 0, rest.find_last_not_of(' ', at) + 1).append(end).append("\n");
    rest = std::string(indent, ' ') +
           rest.substr(std::min(rest.find_first_not_of(' ', at), rest.size()));
    kept = indent;
  }
  out += rest;
}

}  // namespace

std::string WrapLines(std::string_view text, size_t width, size_t column,
                      std::string_view command) {
  std::string out;
  while (true) {
    const size_t end = text.find('\n');
    AppendWrapped(out, text.substr(0, end), width, column, command);
    if (end == std::string_view::npos) return out;
    out += '\n';
    text.remove_prefix(end + 1);
  }
}

}  // namespace bascule
