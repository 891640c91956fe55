// Bytes between a socket and whoever takes whole operations off their front. One thread at a time.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>
#include <span>
#include <string_view>

#include "core/base/check.h"

namespace bascule::nats {

class ReceiveBuffer {
 public:
  // `usual`: bytes of one receive, and of the memory that is kept between large operations.
  explicit ReceiveBuffer(size_t usual) : usual_(usual) { Allocate(usual); }

  // Received and not yet taken.
  std::string_view pending() const { return {bytes_.get() + begin_, end_ - begin_}; }

  // Where the next receive goes: room for an operation of `wanted` bytes from the front of what is pending on,
  // and never less than a quarter of the usual. What is pending may move.
  std::span<char> Room(size_t wanted) {
    const size_t held = end_ - begin_;
    if (held == 0) begin_ = end_ = 0;
    const size_t least = std::max(usual_ / 4, wanted > held ? wanted - held : 0);
    if (capacity_ > usual_ && held + least <= usual_) {
      MoveTo(usual_);
    } else if (capacity_ - held < least) {
      MoveTo(held + least + usual_);
    } else if (capacity_ - end_ < least) {
      std::memmove(bytes_.get(), bytes_.get() + begin_, held);
      begin_ = 0;
      end_ = held;
    }
    return {bytes_.get() + end_, capacity_ - end_};
  }
  // So many bytes were written to the front of the room.
  void Received(size_t bytes) {
    BASCULE_CHECK_LE(bytes, capacity_ - end_);
    end_ += bytes;
  }
  void Take(size_t bytes) {
    BASCULE_CHECK_LE(bytes, end_ - begin_);
    begin_ += bytes;
  }
  size_t capacity() const { return capacity_; }

 private:
  // Not filled with zeros: most of it is overwritten at once.
  void Allocate(size_t bytes) {
    bytes_.reset(new char[bytes]);
    capacity_ = bytes;
  }

  // What is pending, to the front of other memory.
  void MoveTo(size_t capacity) {
    const size_t held = end_ - begin_;
    const std::unique_ptr<char[]> before = std::move(bytes_);
    Allocate(capacity);
    std::memcpy(bytes_.get(), before.get() + begin_, held);
    begin_ = 0;
    end_ = held;
  }

  const size_t usual_;
  std::unique_ptr<char[]> bytes_;
  size_t capacity_ = 0;
  size_t begin_ = 0;
  size_t end_ = 0;
};

}  // namespace bascule::nats
