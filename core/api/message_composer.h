// From a stored record to the message that a subscriber receives, without decoding it:
//
//   message = prefix | record | suffix
//   prefix  = 5 stream, 6 partition, 7 subject, 9 headers {subject}, {reply: ""}: the same for a
//             whole partition
//   record  = core/wire/record.h, as it lies in the log
//   suffix  = 9 headers {subject} and/or {reply}, only where the record has its own
//
// It works because protobuf messages concatenate: of a field given twice the later value wins, of
// map entries with one key too. Pure; a composer is immutable and may be used by any thread.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "core/base/types.h"

namespace bascule::api {

// A record with what a message needs to know of it. Views into the record.
struct RecordPiece {
  std::string_view record;
  std::optional<std::string_view> own_subject;
  std::optional<std::string_view> own_reply;
  size_t suffix_bytes = 0;
};

class MessageComposer {
 public:
  MessageComposer(std::string_view stream, PartitionId partition,
                  std::string_view partition_subject);

  // Looks at the front of the record's body; nullopt when these bytes are not a record.
  std::optional<RecordPiece> Inspect(std::string_view record) const;
  size_t MessageBytes(const RecordPiece& piece) const {
    return prefix_.size() + piece.record.size() + piece.suffix_bytes;
  }
  // Writes MessageBytes(piece) bytes; returns the byte after the last.
  char* Put(char* out, const RecordPiece& piece) const;

  const std::string& prefix() const { return prefix_; }
  std::string Suffix(const RecordPiece& piece) const;

 private:
  std::string prefix_;
};

}  // namespace bascule::api
