#include "core/log/batch_scanner.h"

#include <algorithm>

#include "core/wire/coding.h"

namespace bascule::log {
namespace {

constexpr size_t kWindowBytes = 256 * 1024;

bool AllZero(std::string_view bytes) {
  return bytes.find_first_not_of('\0') == std::string_view::npos;
}

// Fills `out` from `position`, up to `n` bytes; fewer only at the end of the file.
absl::Status ReadUpTo(File& file, FilePosition position, size_t n, std::string& out) {
  out.resize(n);
  size_t have = 0;
  while (have < n) {
    ASSIGN_OR_RETURN(const size_t got, file.ReadAt(position + have, out.data() + have, n - have));
    if (got == 0) break;
    have += got;
  }
  out.resize(have);
  return absl::OkStatus();
}

}  // namespace

BatchScanner::BatchScanner(File& file, FilePosition start, FilePosition end)
    : file_(file), at_(start), end_(end), window_start_(start) {}

absl::StatusOr<std::string_view> BatchScanner::Window(size_t n) {
  n = std::min<uint64_t>(n, end_ > at_ ? end_ - at_ : 0);
  if (at_ < window_start_ || at_ + n > window_start_ + window_.size()) {
    const size_t want = std::min<uint64_t>(std::max(n, kWindowBytes), end_ > at_ ? end_ - at_ : 0);
    window_start_ = at_;
    RETURN_IF_ERROR(ReadUpTo(file_, at_, want, window_));
  }
  return std::string_view(window_).substr(at_ - window_start_);
}

absl::StatusOr<BatchScanner::Outcome> BatchScanner::Next() {
  ASSIGN_OR_RETURN(std::string_view window, Window(wire::kBatchHeaderBytes));
  if (window.empty()) return Outcome::kEnd;
  why_ = wire::ParseBatchHeader(window, header_);
  if (why_ == wire::BatchParse::kOk) {
    ASSIGN_OR_RETURN(window, Window(header_.total_bytes()));
    why_ = wire::ParseBatch(window, header_, payload_);
  }
  if (why_ == wire::BatchParse::kOk) {
    bytes_ = window.substr(0, header_.total_bytes());
    batch_position_ = at_;
    at_ += header_.total_bytes();
    return Outcome::kBatch;
  }
  if (AllZero(window.substr(0, wire::kBatchHeaderBytes))) {
    ASSIGN_OR_RETURN(const bool zero, IsZero(file_, at_, end_));
    if (zero) return Outcome::kEnd;
  }
  return Outcome::kBad;
}

absl::StatusOr<bool> BatchScanner::SeekBatch(FilePosition from, Offset least) {
  char magic[4];
  wire::PutFixed<uint32_t>(magic, wire::kBatchMagic);
  at_ = from;
  while (true) {
    ASSIGN_OR_RETURN(const std::string_view window, Window(kWindowBytes));
    if (window.size() < wire::kBatchHeaderBytes) return false;
    const size_t found = window.find(std::string_view(magic, 4));
    if (found == std::string_view::npos) {
      at_ += window.size() - 3;
      continue;
    }
    at_ += found;
    const FilePosition candidate = at_;
    ASSIGN_OR_RETURN(const Outcome outcome, Next());
    const bool plausible =
        outcome == Outcome::kBatch && header_.base_offset >= least &&
        static_cast<uint64_t>(header_.base_offset - least) <= candidate - from + 1 &&
        header_.committed_through <= header_.base_offset;
    if (plausible) {
      at_ = candidate;
      return true;
    }
    at_ = candidate + 1;
  }
}

absl::StatusOr<bool> IsZero(File& file, FilePosition start, FilePosition end) {
  std::string window;
  while (start < end) {
    RETURN_IF_ERROR(ReadUpTo(file, start, std::min<uint64_t>(kWindowBytes, end - start), window));
    if (window.empty()) return true;
    if (!AllZero(window)) return false;
    start += window.size();
  }
  return true;
}

}  // namespace bascule::log
