// Reference-counted bytes. A `Bytes` is a view of a block that lives as long as any view of it;
// copying one costs an atomic increment, never a copy of the data. Immutable once shared, so any
// thread may read it.
#pragma once

#include <cstddef>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace bascule {

class Bytes {
 public:
  Bytes() = default;
  explicit Bytes(std::string owned) {
    auto block = std::make_shared<const std::string>(std::move(owned));
    view_ = *block;
    owner_ = std::move(block);
  }
  // `view` must stay valid for as long as `owner` lives.
  Bytes(std::shared_ptr<const void> owner, std::string_view view)
      : owner_(std::move(owner)), view_(view) {}
  static Bytes Copy(std::string_view data) { return Bytes(std::string(data)); }

  std::string_view view() const { return view_; }
  const char* data() const { return view_.data(); }
  size_t size() const { return view_.size(); }
  bool empty() const { return view_.empty(); }
  Bytes Sub(size_t position, size_t length) const {
    return Bytes(owner_, view_.substr(position, length));
  }
  const std::shared_ptr<const void>& owner() const { return owner_; }

 private:
  std::shared_ptr<const void> owner_;
  std::string_view view_;
};

}  // namespace bascule
